"""Who has used the endpoints: from CloudTrail's records to rows, a summary, and a page.

::

    records   one CloudTrail record -> Event                logfile   a log file -> records
    store     events, each once, in the order of time       directory who had which address
    join      events and directory -> rows                  choice    which rows are asked for
    summary   rows -> numbers, in bounded memory            findings  what to review
    page      all that as HTML (markup, style, charts)      gather    from AWS or files into the store
"""
