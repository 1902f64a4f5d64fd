"""Who used the endpoints: from CloudTrail's records to rows, a summary, and a report.

::

    records      a CloudTrail record -> Event            log_files  log files -> records
    store        events, deduplicated and in order       fetch      from AWS into the store
    addresses    which instance had an address when      filters    which rows to show
    correlation  events and addresses -> rows            summary    rows -> counts, in bounded memory
    findings     what to review                          page       the report as HTML, with its charts
"""
