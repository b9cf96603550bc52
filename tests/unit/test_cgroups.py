"""What a container has used is read from the kernel's files of either version, as they look."""

import pathlib

from segue_node_runner.cgroups import Cgroups, Usage

ID = "4f1c2ab90d3e" * 5 + "beef"


class Host:
    """A /proc and the hierarchies that it names, laid out in a folder."""

    def __init__(self, folder: pathlib.Path, mounts: list[str]) -> None:
        self.folder, self.proc = folder, folder / "proc"
        lines = [
            f"{n} 1 0:{n} {mount.replace('@', str(folder))}" for n, mount in enumerate(mounts, 30)
        ]
        self.write("proc/self/mountinfo", "\n".join(["22 1 0:20 / / rw - ext4 /dev/a rw", *lines]))

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n", encoding="utf-8")

    def v1(self, path: str) -> None:
        self.write(f"cpuacct{path}/cpuacct.usage", "2500000000")
        self.write(f"memory{path}/memory.usage_in_bytes", "5000000")
        self.write(f"memory{path}/memory.stat", "cache 9\ntotal_inactive_file 1000000\nx 1")

    def v2(self, path: str) -> None:
        self.write(f"cg{path}/cpu.stat", "usage_usec 1500000\nuser_usec 1")
        self.write(f"cg{path}/memory.current", "7000000")
        self.write(f"cg{path}/memory.stat", "anon 1\ninactive_file 2000000")


V1 = ["/ @/cpuacct rw - cgroup cgroup rw,cpu,cpuacct", "/ @/memory rw - cgroup cgroup rw,memory"]
V2 = ["/ @/cg rw - cgroup2 cgroup2 rw,nsdelegate"]


def test_version_1_is_read(tmp_path: pathlib.Path) -> None:
    host = Host(tmp_path, V1)
    host.write("proc/7/cgroup", f"5:cpu,cpuacct:/docker/{ID}\n4:memory:/docker/{ID}\n0::/")
    host.v1(f"/docker/{ID}")
    assert Cgroups(host.proc).usage(ID, 7) == Usage(2.5, 4_000_000)


def test_version_2_is_read_also_when_its_processes_stand_further_down(
    tmp_path: pathlib.Path,
) -> None:
    host = Host(tmp_path, V2)
    slot = f"/system.slice/docker-{ID}.scope"
    host.write("proc/7/cgroup", f"0::{slot}/init.scope")
    host.v2(slot)
    assert Cgroups(host.proc).usage(ID, 7) == Usage(1.5, 5_000_000)


def test_of_both_versions_at_once_the_one_that_counts_is_read(tmp_path: pathlib.Path) -> None:
    host = Host(tmp_path, V1 + V2)
    host.write("proc/7/cgroup", "2:cpuacct:/a\n1:memory:/a\n0::/a")
    host.v1("/a")
    assert Cgroups(host.proc).usage(ID, 7) == Usage(2.5, 4_000_000)


def test_a_part_of_the_hierarchy_is_enough(tmp_path: pathlib.Path) -> None:
    host = Host(tmp_path, ["/kubepods/x @/cg rw - cgroup2 cgroup2 rw"])
    host.write("proc/7/cgroup", f"0::/kubepods/x/docker/{ID}")
    host.v2(f"/docker/{ID}")
    assert Cgroups(host.proc).usage(ID, 7) == Usage(1.5, 5_000_000)


def test_what_has_ended_or_cannot_be_read_is_not_known(tmp_path: pathlib.Path) -> None:
    host = Host(tmp_path, V2)
    cgroups = Cgroups(host.proc)
    assert cgroups.usage(ID, 7) is None
    host.write("proc/7/cgroup", "0::/a")
    assert cgroups.usage(ID, 7) is None
    host.v2("/a")
    assert cgroups.usage(ID, 7) is not None
    host.write("cg/a/cpu.stat", "odd")
    assert cgroups.usage(ID, 7) is None
    cgroups.forget_all_but(set())
    assert Cgroups(host.proc).usage(ID, 8) is None
