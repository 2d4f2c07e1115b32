from entr.preflight.findings import WIDTH, Finding, render_findings


def test_each_line_is_short_and_remedies_stand_below_the_details():
    findings = [
        Finding("Python", "3.12"),
        Finding("disk", "free space " * 20, "problem", "free some [space]"),
    ]
    first, *others, last = render_findings(findings).splitlines()
    assert first == "ok       Python  3.12"
    assert others[0].startswith("problem  disk    free space")
    assert len(others) > 1
    assert last == f"{' ' * 17}remedy: free some [space]"
    assert max(map(len, [first, *others, last])) <= WIDTH
