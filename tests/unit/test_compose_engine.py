"""Every attribute that no core decides on: what it becomes in the engine's create call."""

from typing import Any

import pytest
from segue.compose import Result, convert


def converted(service: dict[str, Any], **top: Any) -> Result:
    return convert({"services": {"web": {"image": "x"} | service}} | top, app="shop")


ENGINE: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"entrypoint": "/run.sh -a 'b c'"}, {"Entrypoint": ["/run.sh", "-a", "b c"]}),
    ({"entrypoint": []}, {"Entrypoint": []}),
    ({"command": ["a", 5, True]}, {"Cmd": ["a", "5", "true"]}),
    ({"command": ""}, {"Cmd": []}),
    ({"command": None}, {}),
    ({"working_dir": "/srv"}, {"WorkingDir": "/srv"}),
    ({"user": 1000}, {"User": "1000"}),
    ({"user": ""}, {}),
    ({"environment": ["B=2", "A=1", "C="]}, {"Env": ["A=1", "B=2", "C="]}),
    ({"environment": {"A": 1, "B": True, "C": 1.5}}, {"Env": ["A=1", "B=true", "C=1.5"]}),
    ({"labels": ["a=b", "c"]}, {"Labels": {"a": "b", "c": ""}}),
    ({"labels": {"a.b": 1}}, {"Labels": {"a.b": "1"}}),
    ({"stop_signal": "SIGUSR1"}, {"StopSignal": "SIGUSR1"}),
    ({"hostname": "h.example"}, {"Hostname": "h.example"}),
    ({"domainname": "example.com"}, {"Domainname": "example.com"}),
    ({"tty": "true"}, {"Tty": True}),
    ({"stdin_open": True}, {"OpenStdin": True}),
]

HOST: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {}),
    ({"init": False}, {"Init": False}),
    ({"annotations": ["a=b"]}, {"Annotations": {"a": "b"}}),
    ({"tmpfs": "/run"}, {"Tmpfs": {"/run": ""}}),
    ({"tmpfs": ["/d:mode=755,uid=9", "/run"]}, {"Tmpfs": {"/d": "mode=755,uid=9", "/run": ""}}),
    ({"read_only": "yes"}, {"ReadonlyRootfs": True}),
    ({"privileged": True}, {"Privileged": True}),
    ({"cap_add": ["ALL"]}, {"CapAdd": ["ALL"]}),
    ({"cap_drop": ["NET_ADMIN", "SYS_ADMIN"]}, {"CapDrop": ["NET_ADMIN", "SYS_ADMIN"]}),
    ({"security_opt": ["label:user:USER"]}, {"SecurityOpt": ["label:user:USER"]}),
    ({"security_opt": ["seccomp:unconfined"]}, {"SecurityOpt": ["seccomp:unconfined"]}),
    ({"group_add": ["mail", 5]}, {"GroupAdd": ["mail", "5"]}),
    ({"userns_mode": "host"}, {"UsernsMode": "host"}),
    ({"pid": "host"}, {"PidMode": "host"}),
    ({"ipc": "shareable"}, {"IpcMode": "shareable"}),
    ({"uts": "host"}, {"UTSMode": "host"}),
    ({"cgroup": "private"}, {"CgroupnsMode": "private"}),
    ({"cgroup_parent": "m-x"}, {"CgroupParent": "m-x"}),
    ({"runtime": "runc"}, {"Runtime": "runc"}),
    ({"isolation": "default"}, {"Isolation": "default"}),
    (
        {"ulimits": {"nproc": 65535, "nofile": {"soft": "20000", "hard": 40000}}},
        {
            "Ulimits": [
                {"Name": "nofile", "Soft": 20000, "Hard": 40000},
                {"Name": "nproc", "Soft": 65535, "Hard": 65535},
            ]
        },
    ),
    ({"ulimits": {"core": -1}}, {"Ulimits": [{"Name": "core", "Soft": -1, "Hard": -1}]}),
    ({"sysctls": ["net.core.somaxconn=1024"]}, {"Sysctls": {"net.core.somaxconn": "1024"}}),
    ({"sysctls": {"a": 0}}, {"Sysctls": {"a": "0"}}),
    ({"shm_size": "64m"}, {"ShmSize": 64 * 1024**2}),
    ({"storage_opt": {"size": "1G"}}, {"StorageOpt": {"size": "1G"}}),
    (
        {"logging": {"driver": "syslog", "options": {"syslog-address": "tcp://1.2.3.4:5", "n": 3}}},
        {
            "LogConfig": {
                "Type": "syslog",
                "Config": {"n": "3", "syslog-address": "tcp://1.2.3.4:5"},
            }
        },
    ),
    (
        {"devices": ["/dev/a:/dev/b", "/dev/c", "/dev/d:/dev/e:r"]},
        {
            "Devices": [
                {"PathOnHost": "/dev/a", "PathInContainer": "/dev/b", "CgroupPermissions": "rwm"},
                {"PathOnHost": "/dev/c", "PathInContainer": "/dev/c", "CgroupPermissions": "rwm"},
                {"PathOnHost": "/dev/d", "PathInContainer": "/dev/e", "CgroupPermissions": "r"},
            ]
        },
    ),
    (
        {"devices": ["vendor1.com/device=gpu"]},
        {"DeviceRequests": [{"Driver": "cdi", "DeviceIDs": ["vendor1.com/device=gpu"]}]},
    ),
    ({"device_cgroup_rules": ["c 1:3 mr"]}, {"DeviceCgroupRules": ["c 1:3 mr"]}),
    (
        {"gpus": "all"},
        {
            "DeviceRequests": [
                {
                    "Driver": "",
                    "Count": -1,
                    "DeviceIDs": [],
                    "Capabilities": [["gpu"]],
                    "Options": {},
                }
            ]
        },
    ),
    (
        {"gpus": [{"driver": "3dfx", "count": 2}]},
        {
            "DeviceRequests": [
                {
                    "Driver": "3dfx",
                    "Count": 2,
                    "DeviceIDs": [],
                    "Capabilities": [["gpu"]],
                    "Options": {},
                }
            ]
        },
    ),
    (
        {
            "deploy": {
                "resources": {
                    "reservations": {
                        "devices": [
                            {"capabilities": ["tpu"], "device_ids": ["a"], "options": {"v": False}}
                        ]
                    }
                }
            }
        },
        {
            "DeviceRequests": [
                {
                    "Driver": "",
                    "Count": 0,
                    "DeviceIDs": ["a"],
                    "Capabilities": [["tpu"]],
                    "Options": {"v": "false"},
                }
            ]
        },
    ),
    ({"dns": "8.8.8.8"}, {"Dns": ["8.8.8.8"]}),
    ({"dns_search": ["a.com", "b.com"]}, {"DnsSearch": ["a.com", "b.com"]}),
    ({"dns_opt": ["use-vc"]}, {"DnsOptions": ["use-vc"]}),
    (
        {"extra_hosts": ["somehost=162.242.195.82", "myhostv6=[::1]", "other:50.31.209.229"]},
        {"ExtraHosts": ["myhostv6:::1", "other:50.31.209.229", "somehost:162.242.195.82"]},
    ),
    (
        {"extra_hosts": {"a": ["1.1.1.1", "2.2.2.2"], "b": "host-gateway"}},
        {"ExtraHosts": ["a:1.1.1.1", "a:2.2.2.2", "b:host-gateway"]},
    ),
    ({"cpus": "0.50"}, {"NanoCpus": 500_000_000}),
    ({"cpuset": "0-3,5"}, {"CpusetCpus": "0-3,5"}),
    ({"cpu_shares": 73}, {"CpuShares": 73}),
    ({"cpu_quota": "50000", "cpu_period": 100000}, {"CpuQuota": 50000, "CpuPeriod": 100000}),
    ({"cpu_rt_runtime": "400ms"}, {"CpuRealtimeRuntime": 400_000}),
    ({"cpu_rt_runtime": 95000}, {"CpuRealtimeRuntime": 95000}),
    ({"cpu_rt_period": "1400us"}, {"CpuRealtimePeriod": 1400}),
    ({"cpu_count": 2}, {"CpuCount": 2}),
    ({"cpu_percent": 50}, {"CpuPercent": 50}),
    ({"mem_limit": "300m"}, {"Memory": 300 * 1024**2}),
    ({"mem_reservation": "20m"}, {"MemoryReservation": 20 * 1024**2}),
    ({"mem_swappiness": 0}, {"MemorySwappiness": 0}),
    ({"mem_limit": "1g", "memswap_limit": "2g"}, {"Memory": 1024**3, "MemorySwap": 2 * 1024**3}),
    ({"memswap_limit": -1}, {"MemorySwap": -1}),
    ({"memswap_limit": 0}, {}),
    ({"pids_limit": -1}, {"PidsLimit": -1}),
    ({"oom_kill_disable": True}, {"OomKillDisable": True}),
    ({"oom_score_adj": -500}, {"OomScoreAdj": -500}),
    (
        {
            "blkio_config": {
                "weight": 300,
                "weight_device": [{"path": "/dev/sda", "weight": 400}],
                "device_read_bps": [{"path": "/dev/sdb", "rate": "12mb"}],
                "device_read_iops": [{"path": "/dev/sdb", "rate": 120}],
                "device_write_bps": [{"path": "/dev/sdb", "rate": "1024k"}],
                "device_write_iops": [{"path": "/dev/sdb", "rate": 30}],
            }
        },
        {
            "BlkioWeight": 300,
            "BlkioWeightDevice": [{"Path": "/dev/sda", "Weight": 400}],
            "BlkioDeviceReadBps": [{"Path": "/dev/sdb", "Rate": 12 * 1024**2}],
            "BlkioDeviceReadIOps": [{"Path": "/dev/sdb", "Rate": 120}],
            "BlkioDeviceWriteBps": [{"Path": "/dev/sdb", "Rate": 1024**2}],
            "BlkioDeviceWriteIOps": [{"Path": "/dev/sdb", "Rate": 30}],
        },
    ),
    (
        {"deploy": {"resources": {"limits": {"cpus": "0.50", "memory": "50M", "pids": 100}}}},
        {"NanoCpus": 500_000_000, "Memory": 50 * 1024**2, "PidsLimit": 100},
    ),
]


def name(value: Any) -> str:
    return str(value)[:50]


@pytest.mark.parametrize(("service", "body"), ENGINE, ids=name)
def test_an_attribute_goes_to_the_engine(service: dict[str, Any], body: dict[str, Any]) -> None:
    found = converted(service)
    assert found.problems == []
    assert found.spec is not None
    made = dict(found.spec.services["web"].container)
    assert made.pop("HostConfig") == {"Init": True}
    assert made == body


@pytest.mark.parametrize(("service", "host"), HOST, ids=name)
def test_an_attribute_goes_to_the_engines_host_config(
    service: dict[str, Any], host: dict[str, Any]
) -> None:
    found = converted(service)
    assert found.problems == []
    assert found.spec is not None
    assert found.spec.services["web"].container == {"HostConfig": {"Init": True} | host}
    assert "RestartPolicy" not in found.spec.services["web"].container["HostConfig"]
