import simulated

from entr import so_far


def test_the_curves_of_what_is_finished_are_drawn_from_a_part_of_the_grid(tmp_path):
    for name, table in simulated.grid(seeds=2).items():
        part = table[table["regime"] != "stepwise"] if "regime" in table else table
        part.to_csv(tmp_path / f"{name}.csv", index=False)
    settings = {
        "datasets": {"ucm": "UCM"}, "models": ["resnet18", "resnet50"], "regimes": list(simulated.REGIMES),
        "control": "no-increase", "basis": "training",
    }  # fmt: skip
    so_far.draw(tmp_path, settings)
    drawn = {path.stem for path in (tmp_path / "figures").glob("*.html")}
    assert drawn == set(so_far.FIGURES)
    assert "stepwise" not in (tmp_path / "figures" / "fig4.svg").read_text(encoding="utf-8").partition("role-legend")[0]
