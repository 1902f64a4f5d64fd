"""The completion script for PowerShell (5.1 or newer)."""

from __future__ import annotations

from collections.abc import Iterable

from eicctl.completion.tree import Tree, long_options

_HEAD = r"""# PowerShell completion for eicctl. Made by `eicctl completion powershell`.
"""

_TAIL = r"""
Register-ArgumentCompleter -Native -CommandName eicctl -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)

    $result = [System.Management.Automation.CompletionResult]
    function Find($table, $command, $name) {
        if ($table.ContainsKey("$command $name")) { return $table["$command $name"] }
        if ($table.ContainsKey("* $name")) { return $table["* $name"] }
        if ($table.ContainsKey("$command *")) { return $table["$command *"] }
        return $null
    }
    # What has a character that PowerShell reads is put into single quotes, where it reads none; all that it takes for
    # a single quote is doubled there.
    function Offer($value, $what) {
        $generation = [System.Management.Automation.Language.CodeGeneration]
        $text = $value
        if ($value -notmatch '^[A-Za-z0-9_./:=-][A-Za-z0-9_./:=@-]*$') {
            $text = "'" + $generation::EscapeSingleQuotedStringContent($value) + "'"
        }
        if (-not $what) { $what = $value }
        $result::new($text, $value, 'ParameterValue', $what)
    }
    function Matching($rows, $before, $word) {
        foreach ($row in $rows) {
            $value, $what = $row -split "`t", 2
            if ($value.StartsWith($word, [StringComparison]::Ordinal)) { Offer ($before + $value) $what }
        }
    }
    function OfKind($kind, $before, $word, $profileName, $region) {
        if (-not $kind) { return }
        if ($kind.StartsWith('=')) { Matching ($kind.Substring(1) -split ' ') $before $word; return }
        if ($kind -eq 'region') { Matching $EicctlRegions $before $word; return }
        if ($kind -ne 'file') {
            # By stdin, a word a line: before PowerShell 7.3 an empty argument is dropped, and quotes in one are lost.
            $eicctl = @(Get-Command eicctl -CommandType Application)[0]
            $known = $kind, $profileName, $region, $word | & $eicctl --complete 2>$null
            Matching $known $before ''
        }
        if ($kind -eq 'file' -or $kind -eq 'copy') {
            foreach ($file in [System.Management.Automation.CompletionCompleters]::CompleteFilename($word)) {
                $text = $before + $file.CompletionText
                $result::new($text, $file.ListItemText, $file.ResultType, $file.ToolTip)
            }
        }
    }

    $command = ''; $option = ''; $ended = $false; $number = 0; $profileName = ''; $region = ''
    foreach ($element in $commandAst.CommandElements | Select-Object -Skip 1) {
        # The word of the cursor, and what is behind it, is not read.
        if ($element.Extent.EndOffset -ge $cursorPosition) { break }
        # The text, not what it would give: nothing of the line is evaluated.
        $given = $element.Extent.Text
        $constant = [System.Management.Automation.Language.StringConstantExpressionAst]
        if ($element -is $constant) { $given = $element.Value }
        if ($option) {
            if ($option -ceq '--profile') { $profileName = $given }
            if ($option -ceq '--region') { $region = $given }
            $option = ''
            continue
        }
        if (-not $ended -and $given.Length -gt 1 -and $given.StartsWith('-')) {
            if ($given -ceq '--') { $ended = $true }
            elseif ($given -cmatch '^--profile=(.*)$') { $profileName = $Matches[1] }
            elseif ($given -cmatch '^--region=(.*)$') { $region = $Matches[1] }
            elseif ($given -notlike '--*=*' -and $null -ne (Find $EicctlTakes $command $given)) { $option = $given }
            continue
        }
        $path = "$command $given".Trim()
        if ($EicctlCommands.ContainsKey($command) -and $EicctlOptions.ContainsKey($path)) { $command = $path; continue }
        $number++
        if ($number -gt 1 -and $EicctlEnds -ccontains $command) { return }
    }
    $word = $wordToComplete.Trim("'", '"')
    if ($option) { OfKind (Find $EicctlTakes $command $option) '' $word $profileName $region }
    elseif (-not $ended -and $word -like '--*=*') {
        $option, $rest = $word -split '=', 2
        OfKind (Find $EicctlTakes $command $option) "$option=" $rest $profileName $region
    }
    elseif (-not $ended -and $word.StartsWith('-')) { Matching $EicctlOptions[$command] '' $word }
    elseif ($EicctlCommands.ContainsKey($command)) { Matching $EicctlCommands[$command] '' $word }
    else { OfKind (Find $EicctlArguments $command $number) '' $word $profileName $region }
}.GetNewClosure()
"""


def script(tree: Tree) -> str:
    """Return the script."""
    groups = [(one.name, tree.below(one)) for one in tree.commands if tree.below(one)]
    commands = [(name, _list((one.path[-1], one.summary) for one in rows)) for name, rows in groups]
    options = [(one.name, _list(long_options(one))) for one in tree.commands]
    parts = [
        _HEAD,
        f"$EicctlRegions = @({', '.join(map(quoted, tree.regions))})",
        f"$EicctlEnds = @({', '.join(quoted(one.name) for one in tree.commands if one.ends)})",
        _table("EicctlCommands", commands),
        _table("EicctlOptions", options),
        _table("EicctlTakes", [(key, quoted(kind)) for kind, keys in tree.by_kind() for key in keys]),
        _table("EicctlArguments", [(key, quoted(kind)) for kind, keys in tree.arguments() for key in keys]),
        _TAIL,
    ]
    return "\n".join(parts)


def quoted(text: str) -> str:
    """Return a string of PowerShell that is this text and nothing else."""
    for quote in "'\u2018\u2019\u201a\u201b":  # it takes typographic ones for single quotes, too
        text = text.replace(quote, quote * 2)
    return f"'{text}'"


def _list(rows: Iterable[tuple[str, str]]) -> str:
    return "@(" + ", ".join(quoted(f"{name}\t{what}") for name, what in rows) + ")"


def _table(name: str, rows: Iterable[tuple[str, str]]) -> str:
    """A table that tells -i from -I, unlike `@{}`."""
    lines = [f"${name}[{quoted(key)}] = {value}" for key, value in rows]
    return "\n".join([f"${name} = New-Object System.Collections.Hashtable ([StringComparer]::Ordinal)", *lines])
