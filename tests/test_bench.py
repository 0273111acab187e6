"""The benchmarks run, compare before they measure, and memory stays at the bound. Timings are never asserted."""

import os
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

BENCH = Path(__file__).parent.parent / "bench"
sys.path.insert(0, str(BENCH))

import common  # noqa: E402
import files  # noqa: E402
import memory  # noqa: E402
import networks  # noqa: E402
import overhead  # noqa: E402
import report  # noqa: E402
import scale  # noqa: E402
from memory_networks import DENSE_STYLES, UNET_STYLES, dense_parts, unet_parts  # noqa: E402


@pytest.fixture(scope="module")
def rows() -> list[memory.Row]:
    return memory.run(size=32, width=2)


@pytest.fixture
def no_peers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves the peers out: importing them takes longer than measuring."""
    monkeypatch.setattr(overhead, "build_peers", lambda workload, parts: {})


class TestOverhead:
    @pytest.mark.parametrize("workload", networks.WORKLOADS, ids=lambda workload: workload.name)
    def test_all_versions_are_equal(self, workload: networks.Workload) -> None:
        overhead.verify_versions(overhead.build_versions(workload), workload.example())

    @pytest.mark.parametrize("workload", networks.WORKLOADS, ids=lambda workload: workload.name)
    def test_parameters_are_the_same_objects(self, workload: networks.Workload) -> None:
        parts = workload.parts()
        ours, by_hand = (set(build(parts).parameters()) for build in (workload.skipseq, workload.by_hand))
        assert ours == by_hand

    def test_a_wrong_network_is_noticed(self) -> None:
        layer, x = nn.Linear(3, 3), torch.randn(2, 3)
        with pytest.raises(AssertionError):
            common.verify_same(nn.Sequential(layer, nn.ReLU()), layer, x)

    def test_a_lost_gradient_is_noticed(self) -> None:
        layer, x = nn.Linear(3, 3), torch.randn(2, 3)
        with pytest.raises(AssertionError):
            common.verify_same(lambda value: layer(value) + (value - value.detach()), layer, x)

    def test_every_network_and_mode_gets_a_row(self, no_peers: None) -> None:
        rows = overhead.run(rounds=1)
        assert [(row.workload, row.mode) for row in rows] == [
            (workload.name, mode) for workload in networks.WORKLOADS for mode in ("grad", "no grad")
        ]
        assert all("skipseq" in row.ratios for row in rows)
        assert len(overhead.format_rows(rows).splitlines()) == 2 + len(rows)

    def test_ratios_are_medians_of_rounds(self) -> None:
        assert overhead.measure_ratios({"by hand": [1.0, 2.0, 4.0], "peer": [3.0, 4.0, 4.0]}) == {"peer": 2.0}


class TestMemory:
    def test_nothing_is_below_the_bound(self, rows: list[memory.Row]) -> None:
        assert all(row.peak >= row.bound for row in rows)

    def test_skipseq_is_at_the_bound(self, rows: list[memory.Row]) -> None:
        ours = [row for row in rows if row.style == "skipseq"]
        assert [row.network for row in ours] == ["U-Net", "dense"]
        assert all(row.peak == row.bound for row in ours)

    def test_the_bound_is_the_same_for_every_style(self) -> None:
        x, unet, dense = torch.randn(1, 3, 32, 32), unet_parts(2), dense_parts(2)
        for built in ([s(unet) for s in UNET_STYLES.values()], [s(dense) for s in DENSE_STYLES.values()]):
            assert len({memory.lower_bound(*memory.record_steps(network, x)) for network in built}) == 1

    def test_the_bound_of_a_chain_by_hand(self) -> None:
        chain, x = nn.Sequential(nn.Linear(1, 3), nn.Linear(3, 5), nn.Linear(5, 1)), torch.randn(1, 1)
        expected = (1 + 3 + 5) * 4  # the input, which stays, and the second layer's two ends
        assert memory.lower_bound(*memory.record_steps(chain, x)) == expected
        assert memory.peak_bytes(chain, x) == expected

    def test_the_bound_of_a_skip_by_hand(self) -> None:
        steps = [memory.Step((0,), (1,)), memory.Step((1,), (2,)), memory.Step((2, 1), (3,)), memory.Step((3,), ())]
        assert memory.lower_bound(steps, sizes=[1, 10, 100, 1000]) == 1111
        assert memory.lower_bound(steps[:2], sizes=[1, 10, 100, 1000]) == 111

    def test_what_is_freed_is_not_counted(self) -> None:
        def freed(x: torch.Tensor) -> torch.Tensor:
            return x.repeat(10).sum() + x.repeat(10).sum()

        module = nn.Module()
        module.forward = freed
        x = torch.randn(4)
        assert memory.peak_bytes(module, x) == (4 + 40 + 1 + 1) * 4

    def test_a_table_has_a_bound_for_each_network(self, rows: list[memory.Row]) -> None:
        assert memory.format_rows(rows).count("the bound") == 2


class TestScale:
    @pytest.mark.parametrize("pattern", scale.PATTERNS)
    def test_a_tenth_as_many_skips_as_layers(self, pattern: str) -> None:
        skips = scale.find_skips(100, pattern)
        assert len(skips) == 10
        assert all(-1 <= start < end < 100 for start, end in skips)

    def test_every_version_gets_a_row(self) -> None:
        rows = scale.run(sizes=(20, 100), repeat=1)
        assert {row.layers for row in rows} == {20, 100}
        assert {f"skipseq, {pattern}" for pattern in scale.PATTERNS} < {row.version for row in rows}
        assert len(scale.format_rows(rows).splitlines()) == 2 + len(rows)


class TestFiles:
    def test_every_version_gets_a_row(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(files, "peak_of", lambda *_: files.MEGABYTE)  # each would be a process of its own
        rows = files.run(megabytes=1, repeat=1)
        assert [row.version for row in rows] == list(files.VERSIONS)
        assert {row.holds for row in rows if row.version.startswith("skipseq")} == {"network and weights"}
        assert all(row.weights == sum(each.numel() * 4 for each in files.build(1).parameters()) for row in rows)
        assert len(files.format_rows(rows).splitlines()) == 2 + len(rows)

    def test_a_network_that_is_read_wrong_is_noticed(self) -> None:
        one, other = files.build(1), files.build(1)
        with pytest.raises(AssertionError):
            files.verify_same(one, other)
        other.load_state_dict(one.state_dict())
        files.verify_same(one, other)

    def test_the_disk_is_waited_for_again(self, tmp_path: Path) -> None:
        wait = os.fsync
        files.write_ours_without_waiting(files.build(1), str(tmp_path / "network"))
        assert os.fsync is wait

    @pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
    def test_the_peak_of_what_is_read_holds_the_weights(self, tmp_path: Path) -> None:
        net, path = files.build(8), str(tmp_path / "network")
        files.write_ours(net, path)
        peak = files.peak_of("read", "skipseq", path, 8)
        assert sum(each.numel() * 4 for each in net.parameters()) * 0.9 < peak


class TestReport:
    def test_a_table_is_replaced(self) -> None:
        text = "a\n<!-- memory -->\nold\n<!-- end -->\nb\n<!-- scale -->\n<!-- end -->\n"
        assert report.replace_table(text, "memory", "new") == text.replace("old", "\nnew\n")

    def test_a_missing_place_is_an_error(self) -> None:
        with pytest.raises(ValueError, match="no single place"):
            report.replace_table("", "memory", "new")

    def test_the_readme_has_a_place_for_every_table(self) -> None:
        for name in ("machine", "overhead", "memory", "scale", "files"):
            assert report.replace_table(report.README.read_text(), name, "| |")
