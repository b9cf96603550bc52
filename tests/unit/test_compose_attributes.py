"""Every attribute has its row in the table; what is wrong or not supported is refused by name."""

from typing import Any

import pytest
from segue.compose import Result, convert
from segue.compose.attributes import ROWS, TABLE
from segue.spec import Ingress


def converted(service: dict[str, Any], **top: Any) -> Result:
    return convert({"services": {"web": {"image": "x"} | service}} | top, app="shop")


def name(value: Any) -> str:
    return str(value)[:50]


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"image": ""}, "image", "is empty"),
    ({"image": "a b"}, "image", "'a b' is no image"),
    ({"image": None, "build": "."}, "build", "not supported"),
    ({"build": 5}, "build", "must be text or a mapping"),
    ({"command": "a 'b"}, "command", "cannot be split into words: no closing quotation"),
    ({"command": ["a", {}]}, "command[1]", "must be text, is a mapping"),
    ({"environment": 5}, "environment", "must be a mapping or a list of KEY=VALUE, is a number"),
    ({"environment": ["=x"]}, "environment[0]", "has no name before the '='"),
    ({"environment": {"A": [1]}}, "environment.A", "must be text, is a list"),
    ({"labels": ["segue.x=1"]}, "labels[0]", "labels that begin with 'segue.' are reserved"),
    (
        {"labels": {"com.docker.compose.project": 1}},
        "labels.com.docker.compose.project",
        "labels that begin with 'com.docker.compose.' are reserved",
    ),
    ({"cap_add": "ALL"}, "cap_add", "must be a list, is text"),
    ({"hostname": "-x"}, "hostname", "'-x' is not a host name"),
    ({"tty": "perhaps"}, "tty", "'perhaps' is neither true nor false"),
    ({"tmpfs": "run"}, "tmpfs[0]", "'run' is not an absolute path"),
    ({"cgroup": "mine"}, "cgroup", "'mine' is not known"),
    ({"pid": "service:db"}, "pid", "'service:db' is not supported"),
    ({"pid": "container:x"}, "pid", "'container:x' is not supported"),
    ({"ipc": "service:db"}, "ipc", "'service:db' is not supported"),
    ({"uts": "x"}, "uts", "'x' is not known"),
    ({"ulimits": {"nofile": "many"}}, "ulimits.nofile", "'many' is not a whole number"),
    ({"ulimits": {"nofile": {"soft": 1}}}, "ulimits.nofile", "needs both soft and hard"),
    ({"ulimits": {"n": {"soft": 2, "hard": 1}}}, "ulimits.n", "soft 2 is above hard 1"),
    ({"ulimits": [1]}, "ulimits", "must be a mapping"),
    ({"shm_size": "big"}, "shm_size", "'big' is not a size"),
    ({"logging": {"drivr": "x"}}, "logging.drivr", "unknown key, did you mean 'driver'?"),
    ({"devices": ["a:b"]}, "devices[0]", "a device is an absolute path"),
    (
        {"devices": ["/dev/a:/dev/b:/dev/c:r"]},
        "devices[0]",
        "'/dev/a:/dev/b:/dev/c:r' is no device",
    ),
    ({"gpus": [{"count": 1, "device_ids": ["a"]}]}, "gpus[0]", "count and device_ids exclude"),
    ({"gpus": "some"}, "gpus", "'some' is not known"),
    ({"security_opt": ["seccomp=./p.json"]}, "security_opt[0]", "the profile './p.json' is a file"),
    ({"extra_hosts": ["lonely"]}, "extra_hosts[0]", "'lonely' is no host with an address"),
    ({"extra_hosts": 5}, "extra_hosts", "must be a mapping or a list of HOST=ADDRESS"),
    (
        {"x-segue": {"singelton": True}},
        "x-segue.singelton",
        "unknown key",
    ),
    ({"x-segue": {"x-mine": 1}}, "x-segue.x-mine", "unknown key"),
    ({"x-segue": ["singleton"]}, "x-segue", "must be a mapping, is a list"),
    ({"x-segue": {"singleton": "perhaps"}}, "x-segue.singleton", "'perhaps' is neither"),
    ({"x-segue": {"min_available": "120%"}}, "x-segue.min_available", "'120%' is no share"),
    ({"x-segue": {"min_available": "x"}}, "x-segue.min_available", "'x' is not a whole number"),
    ({"x-segue": {"min_available": -1}}, "x-segue.min_available", "-1 is out of bounds"),
    (
        {"deploy": {"mode": "global"}, "x-segue": {"min_available": 1}},
        "x-segue.min_available",
        "a global service has as many slots as there are nodes",
    ),
    ({"x-segue": {"proxy_protocol": [70000]}}, "x-segue.proxy_protocol[0]", "70000 is out"),
    ({"x-segue": {"proxy_protocol": [9]}}, "x-segue.proxy_protocol[0]", "it has no TCP port 9"),
    (
        {"x-segue": {"proxy_protocol": 53}, "ports": ["53:53/udp"]},
        "x-segue.proxy_protocol[0]",
        "it has no TCP port 53",
    ),
    (
        {
            "x-segue": {"proxy_protocol": 80},
            "ports": [{"target": 80, "app_protocol": "http"}],
        },
        "x-segue.proxy_protocol[0]",
        "port 80 speaks HTTP",
    ),
    (
        {"x-segue": {"proxy_protocol": 80}, "x-ingress": [{"host": "a", "port": 80}]},
        "x-segue.proxy_protocol[0]",
        "port 80 speaks HTTP",
    ),
    ({"x-segue": {"on_return": "both"}}, "x-segue.on_return", "'both' is not known"),
    ({"cpus": "half"}, "cpus", "'half' is not a number such as 0.5"),
    ({"cpus": "0.001"}, "cpus", "0.001 CPUs are too few"),
    ({"cpuset": "all"}, "cpuset", "'all' is not a set of CPUs such as 0-3,5"),
    ({"cpu_percent": 101}, "cpu_percent", "101 is out of bounds"),
    ({"cpu_rt_period": "x"}, "cpu_rt_period", "'x' is not a duration"),
    ({"mem_limit": "1m"}, "mem_limit", "1048576 bytes are too few for a container"),
    ({"mem_swappiness": 101}, "mem_swappiness", "101 is out of bounds"),
    ({"memswap_limit": "1g"}, "memswap_limit", "limits memory plus swap, but memory has no limit"),
    ({"memswap_limit": "x"}, "memswap_limit", "'x' is not a size"),
    ({"oom_score_adj": 1001}, "oom_score_adj", "1001 is out of bounds"),
    ({"blkio_config": {"weight": 5}}, "blkio_config.weight", "5 is out of bounds"),
    (
        {"blkio_config": {"device_read_bps": [{"path": "/dev/a"}]}},
        "blkio_config.device_read_bps[0]",
        "has no rate",
    ),
    (
        {"blkio_config": {"device_read_bps": ["/dev/a"]}},
        "blkio_config.device_read_bps[0]",
        "must be a mapping, is text",
    ),
    ({"restart": "sometimes"}, "restart", "'sometimes' is not known"),
    ({"network_mode": "bridge"}, "network_mode", "'bridge' is not supported"),
    ({"network_mode": "service:db"}, "network_mode", "'service:db' is not supported"),
    ({"network_mode": "container:db"}, "network_mode", "'container:db' is not supported"),
    ({"platform": "Linux AMD"}, "platform", "'Linux AMD' is not a platform such as linux/amd64"),
    ({"pull_policy": "daily"}, "pull_policy", "'daily' is not supported"),
    ({"pull_policy": "every_12h"}, "pull_policy", "'every_12h' is not supported"),
    ({"pull_policy": "build"}, "pull_policy", "'build' is not supported"),
    ({"pull_policy": "refresh"}, "pull_policy", "'refresh' is not supported"),
    ({"pull_policy": "once"}, "pull_policy", "'once' is not known"),
    ({"stop_grace_period": "10"}, "stop_grace_period", "'10' has no unit"),
    ({"scale": -1}, "scale", "-1 is out of bounds"),
    (
        {"healthcheck": {"test": ["curl", "x"]}},
        "healthcheck.test",
        "must begin with CMD, CMD-SHELL",
    ),
    ({"healthcheck": {"tset": "x"}}, "healthcheck.tset", "unknown key, did you mean 'test'?"),
    ({"healthcheck": {"interval": "5"}}, "healthcheck.interval", "'5' has no unit"),
    ({"healthcheck": "curl"}, "healthcheck", "must be a mapping, is text"),
    ({"deploy": {"mode": "both"}}, "deploy.mode", "'both' is not known"),
    ({"deploy": {"replicas": "two"}}, "deploy.replicas", "'two' is not a whole number"),
    (
        {"deploy": {"update_config": {"order": "random"}}},
        "deploy.update_config.order",
        "'random' is not known",
    ),
    (
        {"deploy": {"update_config": {"max_failure_ratio": 2}}},
        "deploy.update_config.max_failure_ratio",
        "'2' is not a share between 0 and 1",
    ),
    (
        {"deploy": {"rollback_config": {"failure_action": "rollback"}}},
        "deploy.rollback_config.failure_action",
        "'rollback' is not known",
    ),
    (
        {"deploy": {"placement": {"constraints": ["disktype=ssd"]}}},
        "deploy.placement.constraints[0]",
        "'disktype=ssd' is no constraint",
    ),
    (
        {"deploy": {"placement": {"preferences": [{"spread": "zone"}]}}},
        "deploy.placement.preferences[0].spread",
        "'zone' is nothing to spread over",
    ),
    (
        {"deploy": {"restart_policy": {"condition": "always"}}},
        "deploy.restart_policy.condition",
        "'always' is not known",
    ),
    (
        {"deploy": {"resources": {"limits": {"memory": "lots"}}}},
        "deploy.resources.limits.memory",
        "'lots' is not a size",
    ),
    (
        {"deploy": {"resources": {"reservations": {"devices": [{"count": 1}]}}}},
        "deploy.resources.reservations.devices[0]",
        "has no capabilities",
    ),
    ({"deploy": {"endpoint_mode": "x"}}, "deploy.endpoint_mode", "'x' is not known"),
    ({"ports": ["99999:80"]}, "ports[0]", "99999 is out of bounds"),
    ({"ports": ["80:90:100"]}, "ports[0]", "'80' is not an IP address"),
    ({"ports": ["8000-8002:80-81"]}, "ports[0]", "'8000-8002:80-81' maps 3 ports to 2"),
    ({"ports": ["8000-9000:80"]}, "ports[0].published", "one target cannot be published on the"),
    ({"ports": ["53:53/udp"]}, "ports[0]", "udp port 53 cannot be served by the gateway"),
    ({"ports": ["80/icmp"]}, "ports[0].protocol", "'icmp' is not known"),
    ({"ports": [{"published": 80}]}, "ports[0]", "has no target"),
    ({"ports": [{"target": 80, "mode": "hots"}]}, "ports[0].mode", "'hots' is not known"),
    ({"ports": {"80": 80}}, "ports", "must be a list, is a mapping"),
    ({"ports": ["80:80", "80:81"]}, "ports[1]", "port 80 is published twice"),
    ({"volumes": ["./data:/d"]}, "volumes[0]", "relative bind mount './data' needs a node"),
    ({"volumes": ["~/data:/d"]}, "volumes[0]", "relative bind mount '~/data' needs a node"),
    ({"volumes": ["sub/data:/d"]}, "volumes[0]", "'sub/data' is no volume's name"),
    ({"volumes": ["/a:b"]}, "volumes[0]", "the target 'b' is not an absolute path"),
    ({"volumes": ["/a:/b:wo"]}, "volumes[0]", "the mount option 'wo' is not known"),
    ({"volumes": ["/a/../b:/b"]}, "volumes[0]", "the path '/a/../b' climbs with '..'"),
    ({"volumes": ["C:\\x:/b"]}, "volumes[0]", "'C:\\x:/b' is a Windows path"),
    ({"volumes": ["a:b:c:d"]}, "volumes[0]", "'a:b:c:d' has too many colons"),
    ({"volumes": ["gone:/d"]}, "volumes[0]", "there is no volume 'gone'"),
    ({"volumes": [{"type": "bind", "target": "/d"}]}, "volumes[0]", "has no source"),
    ({"volumes": [{"type": "npipe", "target": "/d"}]}, "volumes[0].type", "'npipe' is not"),
    ({"volumes": [{"type": "image", "target": "/d"}]}, "volumes[0].type", "'image' is not"),
    ({"volumes": [{"type": "cluster", "target": "/d"}]}, "volumes[0].type", "'cluster' is not"),
    (
        {"volumes": [{"type": "tmpfs", "source": "x", "target": "/d"}]},
        "volumes[0]",
        "a tmpfs mount",
    ),
    ({"volumes": [{"target": "/d", "bind": {"recursive": "enabled"}}]}, "volumes[0]", "a volume"),
    ({"volumes": ["/a:/d", "/b:/d/"]}, "volumes[1]", "/d is taken by volumes[0]"),
    ({"secrets": ["gone"]}, "secrets[0]", "there is no secret 'gone'"),
    ({"configs": [{"source": "gone"}]}, "configs[0]", "there is no config 'gone'"),
    ({"secrets": [{"target": "x"}]}, "secrets[0]", "has no source"),
    ({"secrets": [{"source": "s", "mode": "rw"}]}, "secrets[0].mode", "'rw' is not octal"),
    ({"secrets": [{"source": "s", "target": "../x"}]}, "secrets[0]", "the target '../x' climbs"),
    ({"networks": ["gone"]}, "networks[0]", "there is no network 'gone'"),
    ({"networks": {"default": {"aliases": "x"}}}, "networks.default.aliases", "must be a list"),
    ({"depends_on": ["gone"]}, "depends_on[0]", "there is no service 'gone'"),
    ({"depends_on": ["web"]}, "depends_on", "waits for itself: web → web"),
    ({"depends_on": {"db": {"condition": "ready"}}}, "depends_on.db.condition", "'ready' is not"),
    ({"x-ingress": [{"host": "a"}]}, "x-ingress[0]", "has no port"),
    ({"x-ingress": ["shop.example"]}, "x-ingress[0]", "must be a mapping, is text"),
    ({"x-ingress": [{"host": "a b", "port": 80}]}, "x-ingress[0].host", "'a b' is not a host name"),
    ({"x-ingress": [{"path": "a", "port": 80}]}, "x-ingress[0].path", "'a' is not a path"),
    ({"x-ingress": [{"port": 80, "x-a": 1}]}, "x-ingress[0]", "has a key x-a"),
    ({"x-ingress": [{"port": 80, "tls": "nix"}]}, "x-ingress[0].tls", "there is no secret 'nix'"),
    ({"expose": ["x"]}, "expose[0]", "'x' is not a whole number"),
    ({"expose": ["80/x"]}, "expose[0]", "'80/x' has an unknown protocol"),
    ({"profiles": 5, "lnks": []}, "lnks", "unknown key, did you mean 'links'?"),
]


@pytest.mark.parametrize(("service", "where", "what"), REFUSED, ids=name)
def test_a_wrong_value_is_refused_where_it_stands(
    service: dict[str, Any], where: str, what: str
) -> None:
    found = converted(service)
    assert found.spec is None
    assert any(
        problem.where == f"services.web.{where}" and problem.what.startswith(what)
        for problem in found.problems
    ), found.problems


def leaves(stand: str) -> list[str]:
    """Give the attributes of services without parts that stand so."""
    rows = [row for row in ROWS if row.stand == stand and row.path.startswith("services.*.")]
    return [row.path.removeprefix("services.*.") for row in rows if "[" not in row.path]


def nested(path: str, value: Any) -> Any:
    for key in reversed(path.split(".")):
        value = {"default" if key == "*" else key: value}
    return value


@pytest.mark.parametrize("path", leaves("refuse"))
def test_what_is_not_supported_is_refused_with_advice(path: str) -> None:
    (problem,) = converted(nested(path, ["x"])).problems
    assert problem.where == f"services.web.{path.replace('*', 'default')}"
    assert (problem.what, problem.kind) == ("not supported", "unsupported")
    assert problem.hint[0].isupper()
    assert problem.hint.endswith(".")


@pytest.mark.parametrize("path", leaves("refuse"))
@pytest.mark.parametrize("nothing", [None, [], {}, "", False, "false"])
def test_what_is_not_supported_may_be_there_while_it_asks_for_nothing(
    path: str, nothing: Any
) -> None:
    assert converted(nested(path, nothing)).problems == []


@pytest.mark.parametrize("path", leaves("client"))
def test_what_the_command_line_resolves_is_refused_in_a_document(path: str) -> None:
    (problem,) = converted(nested(path, "x")).problems
    assert problem.what == "needs the command line, which resolves it"


SPECIFIED = """
annotations attach blkio_config build cap_add cap_drop cgroup cgroup_parent command configs
container_name cpu_count cpu_percent cpu_period cpu_quota cpu_rt_period cpu_rt_runtime cpu_shares
cpus cpuset credential_spec depends_on deploy develop device_cgroup_rules devices dns dns_opt
dns_search domainname entrypoint env_file environment expose extends external_links extra_hosts gpus
group_add healthcheck hostname image init ipc isolation label_file labels links logging mac_address
mem_limit mem_reservation mem_swappiness memswap_limit models network_mode networks
oom_kill_disable oom_score_adj pid pids_limit platform ports post_start pre_start pre_stop
privileged profiles provider pull_policy pull_refresh_after read_only restart runtime scale secrets
security_opt shm_size stdin_open stop_grace_period stop_signal storage_opt sysctls tmpfs tty ulimits
use_api_socket user userns_mode uts volumes volumes_from working_dir
"""

SECTIONS = {
    "": "configs include models name networks secrets services version volumes",
    "services.*": SPECIFIED,
    "services.*.healthcheck": "disable interval retries start_interval start_period test timeout",
    "services.*.deploy": "endpoint_mode labels mode placement replicas resources restart_policy"
    " rollback_config update_config",
    "services.*.deploy.update_config": "delay failure_action max_failure_ratio monitor order"
    " parallelism",
    "services.*.deploy.rollback_config": "delay failure_action max_failure_ratio monitor order"
    " parallelism",
    "services.*.deploy.placement": "constraints max_replicas_per_node preferences",
    "services.*.deploy.restart_policy": "condition delay max_attempts window",
    "services.*.deploy.resources": "limits reservations",
    "services.*.deploy.resources.limits": "cpus memory pids",
    "services.*.deploy.resources.reservations": "cpus devices generic_resources memory",
    "services.*.ports[]": "app_protocol host_ip mode name protocol published target",
    "services.*.volumes[]": "bind consistency image read_only source target tmpfs type volume",
    "services.*.volumes[].bind": "create_host_path propagation recursive selinux",
    "services.*.volumes[].volume": "labels nocopy subpath",
    "services.*.volumes[].tmpfs": "mode size",
    "services.*.secrets[]": "gid mode source target uid",
    "services.*.configs[]": "gid mode source target uid",
    "services.*.depends_on.*": "condition required restart",
    "services.*.networks.*": "aliases driver_opts gw_priority interface_name ipv4_address"
    " ipv6_address link_local_ips mac_address priority",
    "networks.*": "attachable driver driver_opts enable_ipv4 enable_ipv6 external internal ipam"
    " labels name",
    "volumes.*": "driver driver_opts external labels name",
    "secrets.*": "content driver driver_opts environment external file labels name"
    " template_driver x-digest",
    "configs.*": "content environment external file labels name template_driver x-digest",
}


OURS = ("x-autoscale", "x-job", "x-schedule", "x-ingress", "x-segue")


@pytest.mark.parametrize("section", SECTIONS)
def test_the_table_has_every_attribute_of_the_specification(section: str) -> None:
    specified = [key for key in TABLE[section] if key not in OURS]
    assert sorted(specified) == sorted(SECTIONS[section].split())


def test_what_gateways_serve_becomes_fields() -> None:
    entry = {"host": "shop.example", "port": "8080"}
    found = converted({"expose": ["3000-3001", "53/udp"], "x-ingress": [entry]})
    assert found.spec is not None
    web = found.spec.services["web"]
    assert web.expose == [3000, 3001]
    assert web.ingress == [Ingress(port=8080, host="shop.example")]
    assert web.routed == {3000: False, 3001: False, 8080: True}
    assert web.extensions == {}
    assert found.notes == []
    again = convert(found.canonical, app="shop")
    assert (again.spec, again.canonical) == (found.spec, found.canonical)


def test_segues_own_keys_become_fields_that_cores_decide_on() -> None:
    keys = {"singleton": "true", "min_available": " 50 %", "on_return": "keep_original"}
    found = converted({"x-segue": keys})
    assert found.spec is not None
    web = found.spec.services["web"]
    assert (web.strict, web.on_return) == (True, "keep_original")
    assert (web.min_available, web.min_available_percent) == (0, 50)
    assert web.extensions == {}
    again = convert(found.canonical, app="shop")
    assert (again.spec, again.canonical) == (found.spec, found.canonical)


def test_an_unknown_key_of_segues_own_is_answered_with_those_there_are() -> None:
    (problem,) = converted({"x-segue": {"singelton": True, "min_available": 1}}).problems
    assert problem.where == "services.web.x-segue.singelton"
    known = "singleton, min_available, on_return, drain, proxy_protocol, rollout, probe"
    assert problem.hint == f"known are {known}"


def test_ports_at_which_gateways_tell_who_asks_may_be_one_or_several() -> None:
    for given, read in ((9000, [9000]), (["9000", 9001], [9000, 9001])):
        keys = {"x-segue": {"proxy_protocol": given}, "ports": ["9000:9000"], "expose": [9001]}
        found = converted(keys)
        assert found.spec is not None, found.problems
        assert found.spec.services["web"].proxied == read
        again = convert(found.canonical, app="shop")
        assert (again.spec, again.canonical) == (found.spec, found.canonical)


def test_how_many_stay_up_may_be_a_number() -> None:
    found = converted({"x-segue": {"min_available": "2"}})
    assert found.spec is not None
    assert found.spec.services["web"].min_available == 2
