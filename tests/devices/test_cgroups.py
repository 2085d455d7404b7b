"""The tightest control group decides, of both versions, in a container and outside of one, from folders made here."""

from __future__ import annotations

from pathlib import Path

import pytest

from workbench.devices.cgroups import cores_allowed, memory_left

V2 = "31 23 0:28 {top} /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
V1 = "3{number} 31 0:3{number} {top} /sys/fs/cgroup/{name} rw,relatime - cgroup cgroup rw,{name}\n"
OTHERS = "22 1 254:1 / / rw,noatime - ext4 /dev/vda rw\n23 22 0:21 / /proc rw - proc proc rw\n"
NO_LIMIT_V1 = "9223372036854771712\n"


def system(folder: Path, own: str, mounts: str, files: dict[str, str]) -> Path:
    """A root that says of the process what Linux would; `files` below `/sys/fs/cgroup`."""
    (folder / "proc/self").mkdir(parents=True)
    (folder / "proc/self/cgroup").write_text(own)
    (folder / "proc/self/mountinfo").write_text(OTHERS + mounts)
    for name, text in files.items():
        file = folder / "sys/fs/cgroup" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return folder


def v2_memory(folder: str, limit: str, used: int, files_read: int = 0, high: str = "max") -> dict[str, str]:
    return {
        f"{folder}memory.max": f"{limit}\n",
        f"{folder}memory.high": f"{high}\n",
        f"{folder}memory.current": f"{used}\n",
        f"{folder}memory.stat": f"anon {used - files_read}\ninactive_file {files_read}\nactive_file 0\n",
    }


def v1_memory(folder: str, limit: str, used: int, files_read: int = 0) -> dict[str, str]:
    return {
        f"{folder}memory.limit_in_bytes": limit,
        f"{folder}memory.usage_in_bytes": f"{used}\n",
        f"{folder}memory.stat": f"inactive_file 1\ntotal_inactive_file {files_read}\n",
    }


@pytest.mark.parametrize(
    ("own", "parent", "left"),
    [
        (v2_memory("a.slice/b/", "4000", 1000), v2_memory("a.slice/", "max", 1500), 3000),
        (v2_memory("a.slice/b/", "4000", 1000), v2_memory("a.slice/", "2000", 1500), 500),
        (v2_memory("a.slice/b/", "max", 1000), v2_memory("a.slice/", "2000", 1500, files_read=600), 1100),
        (v2_memory("a.slice/b/", "4000", 1000, high="1200"), v2_memory("a.slice/", "max", 1500), 200),
        (v2_memory("a.slice/b/", "max", 1000), v2_memory("a.slice/", "max", 1500), None),
        (v2_memory("a.slice/b/", "900", 1000), {}, 0),
        ({}, {}, None),
    ],
)
def test_every_group_from_the_own_to_the_root_limits_memory(tmp_path, own, parent, left):
    elsewhere = v2_memory("", "10", 9) if left is None and not own else {}  # a group that is not above the own
    files = {**own, **parent, **{f"other/{name}": text for name, text in elsewhere.items()}}
    assert memory_left(system(tmp_path, "0::/a.slice/b\n", V2.format(top="/"), files)) == left


@pytest.mark.parametrize(
    ("own", "top", "folder"),
    [
        ("/", "/", ""),  # with a name space of its own a container sees itself as the root
        ("/docker/abc", "/docker/abc", ""),
        ("/docker/abc/job", "/docker/abc", "job/"),
        ("/docker/abc", "/docker/abcd", ""),  # another one's, of which only the top can be seen
        ("/../other", "/", ""),
    ],
)
def test_a_container_sees_the_limits_from_its_own_group_down(tmp_path, own, top, folder):
    version_2 = system(tmp_path / "2", f"0::{own}\n", V2.format(top=top), v2_memory(folder, "4000", 1000))
    assert memory_left(version_2) == 3000
    mount = V1.format(number=1, top=top, name="memory")
    files = v1_memory(f"memory/{folder}", "5000\n", 1000, files_read=100)
    assert memory_left(system(tmp_path / "1", f"5:cpuset:/\n4:memory:{own}\n", mount, files)) == 4100


def test_the_tighter_of_both_versions_counts(tmp_path):
    own = "4:memory:/job\n1:name=systemd:/\n0::/job\n"
    mounts = V1.format(number=1, top="/", name="memory") + V2.format(top="/").replace("/cgroup ", "/cgroup/unified ")
    files = v1_memory("memory/", NO_LIMIT_V1, 9000) | v1_memory("memory/job/", "3000\n", 1000)
    assert memory_left(system(tmp_path / "1", own, mounts, files)) == 2000
    files |= v2_memory("unified/job/", "1500", 1000)
    assert memory_left(system(tmp_path / "2", own, mounts, files)) == 500


def test_a_limit_of_version_1_that_is_none_is_none(tmp_path):
    mount = V1.format(number=1, top="/", name="memory")
    root = system(tmp_path, "4:memory:/\n", mount, v1_memory("memory/", NO_LIMIT_V1, 5))
    assert memory_left(root) is None


@pytest.mark.parametrize(
    ("own", "parent", "cores"),
    [("max 100000", "max 100000", None), ("150000 100000", "max 100000", 1.5), ("max 100000", "50000 200000", 0.25),
     ("400000 100000", "300000 100000", 3.0)],
)  # fmt: skip
def test_the_smallest_share_of_the_cores_counts(tmp_path, own, parent, cores):
    files = {"a/b/cpu.max": own, "a/cpu.max": parent, "other/cpu.max": "1000 100000"}
    assert cores_allowed(system(tmp_path, "0::/a/b\n", V2.format(top="/"), files)) == cores


@pytest.mark.parametrize(("quota", "cores"), [("-1\n", None), ("250000\n", 2.5)])
def test_version_1_gives_quota_and_period_in_two_files(tmp_path, quota, cores):
    files = {"cpu,cpuacct/job/cpu.cfs_quota_us": quota, "cpu,cpuacct/job/cpu.cfs_period_us": "100000\n"}
    mount = V1.format(number=1, top="/", name="cpu,cpuacct")
    assert cores_allowed(system(tmp_path, "3:cpu,cpuacct:/job\n0::/job\n", mount, files)) == cores


def test_names_of_groups_and_of_other_mounts_may_be_of_any_characters(tmp_path):
    own = "/a..b\\x2dc.slice/a job: 2"
    root = system(tmp_path, f"0::{own}\n", V2.format(top="/a..b\\134x2dc.slice"), v2_memory("a job: 2/", "4000", 1000))
    with (root / "proc/self/mountinfo").open("ab") as mounts:
        mounts.write(
            b"40 1 8:1 / /media/gr\xfc\xdfe rw - vfat /dev/sda1 rw\n41 1 8:2 / /media/a\xe2\x80\xa8b rw - ext4 x rw\n"
        )
    assert memory_left(root) == 3000


def test_a_group_of_which_half_is_missing_is_none(tmp_path):
    files = {"cpu.max": "", "cpu.cfs_quota_us": "5000\n", "memory.current": "10\n", "memory.stat": ""}
    root = system(tmp_path, "0::/\n", V2.format(top="/"), files)
    assert (cores_allowed(root), memory_left(root)) == (None, None)


def test_a_system_without_groups_limits_nothing(tmp_path):
    assert memory_left(tmp_path) is None
    assert cores_allowed(tmp_path) is None


ODD = {
    "a line of another form among the process's groups": ("proc/self/cgroup", "hello\n0::/\n"),
    "a path of no name": ("proc/self/cgroup", "0::/a\0b\n"),
    "lines of another form among the mounts": ("proc/self/mountinfo", f"short\n1 2 - x\n{V2.format(top='/')}"),
    "a mount without options": ("proc/self/mountinfo", "30 23 0:26 / /sys/fs/cgroup rw - cgroup2\n"),
    "a count of another form": ("sys/fs/cgroup/memory.stat", "inactive_file\nanon 3 4\ninactive_file many\n"),
    "digits of another script": ("sys/fs/cgroup/memory.current", "²\n"),
    "a period of no time": ("sys/fs/cgroup/cpu.max", "1000 0\n"),
}


@pytest.mark.parametrize("odd", ODD)
def test_a_file_of_another_form_than_linux_writes_ends_nothing(tmp_path, odd):
    root = system(tmp_path, "0::/\n", V2.format(top="/"), {"memory.max": "5000\n"})
    name, text = ODD[odd]
    (root / name).write_text(text)
    assert memory_left(root) == 5000
    assert cores_allowed(root) is None
