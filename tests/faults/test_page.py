from docs.reliability import PAGE, page


def test_the_page_counts_what_the_tables_hold() -> None:
    assert PAGE.read_text(encoding="utf-8") == page()
