"""The autoscaler's arithmetic gives what the Kubernetes HPA gives, in the cases that it publishes.

Cases are facts of Kubernetes: [doc] the page "Horizontal Pod Autoscaling" of its documentation,
[calc] `replica_calculator_test.go` and [hpa] `horizontal_test.go`, both in
`pkg/controller/podautoscaler`, each named after the test there.
"""

import pytest
from segue.spec import Autoscale, Pace
from segue_autoscaler import hpa

UP, DOWN = Pace(), Autoscale(max=1).down


def rules(step: int, percent: int, every_s: float = 60.0) -> Pace:
    return Pace(step=step, step_percent=percent, every_s=every_s)


@pytest.mark.parametrize(
    ("value", "target", "replicas", "current", "expected"),
    [
        (200, 100, 1, 1, 2),  # [doc] Algorithm details: 200m against 100m doubles the replicas …
        (50, 100, 2, 2, 1),  # [doc] … and 50m against 100m halves them.
        (105, 100, 4, 4, 4),  # [doc] A ratio close enough to 1.0 (0.1) is no reason to scale.
        (91, 100, 4, 4, 4),
        (110, 100, 10, 10, 10),
        (111, 100, 10, 10, 12),
        (89, 100, 10, 10, 9),
        (50, 30, 3, 3, 5),  # [calc] ScaleUp
        (60, 30, 2, 2, 4),  # [calc] ScaleUpIgnoresFailedPods
        (40, 30, 3, 3, 4),  # [calc] ScaleUpUnreadyLessScale: (0 + 500 + 700) of 3 replicas.
        (20_000, 15_000, 3, 3, 4),  # [calc] ScaleUpCM
        (30_000, 15_000, 3, 3, 6),  # [calc] ScaleUpCMUnreadyHotCpuNoLessScale
        (8_600, 4_400, 1, 1, 2),  # [calc] ScaleUpCMExternal
        (50_000, 10_000, 1, 3, 5),  # [calc] ScaleUpCMObjectIgnoresUnreadyPods: of the one ready.
        (20_000 / 3, 5_000, 3, 3, 4),  # [calc] ScaleUpCMPerPodObject
        (8_600 / 3, 2_150, 3, 3, 4),  # [calc] ScaleUpPerPodCMExternal
        (28, 50, 5, 5, 3),  # [calc] ScaleDown
        (12_000, 20_000, 5, 5, 3),  # [calc] ScaleDownCM
        (6_000 / 5, 2_000, 5, 5, 3),  # [calc] ScaleDownPerPodCMObject
        (8_600, 14_334, 5, 5, 3),  # [calc] ScaleDownCMExternal
        (8_600 / 5, 2_867, 5, 5, 3),  # [calc] ScaleDownPerPodCMExternal
        (30, 50, 3, 5, 2),  # [calc] ScaleDownIncludeUnreadyPods: of the three ready.
        (10, 100, 1, 5, 1),  # [calc] ScaleDownExcludeUnscheduledPods
        (100, 50, 1, 1, 2),  # [hpa] EventCreated: 200m of 0.2 CPU against 50 %.
        (50, 50, 2, 2, 2),  # [hpa] EventNotCreated
    ],
)
def test_replicas_are_as_many_as_bring_the_mean_to_the_target(
    value: float, target: float, replicas: int, current: int, expected: int
) -> None:
    assert hpa.recommended(value, target, replicas, current) == expected


def test_what_is_too_much_never_asks_for_fewer_nor_what_is_too_little_for_more() -> None:
    """[calc] "the change of metrics length would cause a change in scale direction"."""
    assert hpa.recommended(120, 100, 2, 6) == 6
    assert hpa.recommended(50, 100, 9, 3) == 3


def test_whatever_is_said_the_number_can_be_written_down() -> None:
    assert hpa.recommended(1e300, 1e-300, 10, 1) == hpa.MOST
    assert hpa.recommended(-5, 1, 3, 3) == 0


@pytest.mark.parametrize(
    ("asked", "before", "expected"),
    [  # [hpa] NormalizeDesiredReplicas: 300 s of window; what is older is not there any more.
        (5, [], 5),  # "empty log"
        (3, [4, 5], 5),  # "stabilize"
        (3, [1, 2], 3),  # "no stabilize"
        (3, [], 3),  # "no stabilize - old recommendations"
        (3, [5, 4], 5),  # "stabilize - old recommendations"
    ],
)
def test_fewer_are_as_few_as_were_asked_for_all_the_time(
    asked: int, before: list[int], expected: int
) -> None:
    assert hpa.stabilised(9, [asked], [asked, *before]) == expected


@pytest.mark.parametrize(
    ("current", "up", "down", "expected"),
    [
        (4, [8], [8], 8),  # Without windows.
        (4, [8, 5], [8], 5),  # So many were asked for all the time.
        (4, [8, 3], [8], 4),  # It was less for a moment: as it is.
        (4, [2], [2, 9], 4),  # It was more for a moment: as it is.
    ],
)
def test_more_are_as_many_as_were_asked_for_all_the_time(
    current: int, up: list[int], down: list[int], expected: int
) -> None:
    assert hpa.stabilised(current, up, down) == expected


@pytest.mark.parametrize(
    ("pace", "current", "added", "expected"),
    [  # [hpa] ScalingWithRules, and what is said of its own tests.
        (rules(0, 1), 3, 0, 4),  # "scaleUpLimit is the limit … with user policies"
        (UP, 10, 0, 20),  # "scaleUp with default behavior"
        (UP, 1, 0, 5),  # Of 4 pods and 100 %, the larger.
        (rules(100, 100), 10, 0, 110),  # "pods policy larger than percent policy"
        (rules(2, 100), 10, 0, 20),  # "percent policy larger than pods policy"
        (rules(100, 0), 10, 0, 110),  # "spec MaxReplicas limitation with large pod policy"
        (rules(30, 0), 10, 0, 40),  # "pod policy limitation"
        (rules(0, 200), 10, 0, 30),  # "percent policy limitation"
        (rules(300, 0), 100, 14, 386),  # "large pod policy and events": 1, 5, 9; two are in 60 s.
        (rules(5, 0, 120), 100, 15, 100),  # "a lot of recent scale up events"
        (rules(150, 0, 120), 100, 15, 235),  # "pod policy and previous scale up events"
        (rules(0, 700), 3, 0, 24),  # UpscaleCap
        (rules(0, 0), 5, 0, 5),  # Disabled.
    ],
)
def test_more_come_only_so_fast(pace: Pace, current: int, added: int, expected: int) -> None:
    assert hpa.up_limit(pace, current, added, 0) == expected


@pytest.mark.parametrize(
    ("pace", "current", "expected"),
    [
        (rules(20, 0), 1_000, 980),  # "scaleDownLimit > minReplicas with user defined policies"
        (rules(20, 1), 100, 80),  # "pod policy larger than percent policy"
        (rules(2, 1), 100, 98),
        (rules(100, 0), 10, 0),  # "MinReplicas=nil limitation with large pod policy"
        (rules(0, 100), 10, 0),  # "MinReplicas limitation with large percent policy"
        (rules(5, 0), 10, 5),  # "pod policy limitation"
        (rules(0, 50), 10, 5),  # "percent policy limitation"
        (rules(2, 50), 5, 2),  # Two pods leave 3 and a half leaves 2.
        (DOWN, 7, 0),  # By default all may go at once.
        (rules(0, 0), 5, 5),  # Disabled.
    ],
)
def test_fewer_are_left_only_so_fast(pace: Pace, current: int, expected: int) -> None:
    assert hpa.down_limit(pace, current, 0, 0) == expected


@pytest.mark.parametrize(
    ("pace", "begin", "end", "expected"),
    [  # [doc] Configurable scaling behavior, the number after each period.
        # "Scaling policies": 8 of 80, then 7.2 of 72 rounded up to 8, and 4 at a time from 40 on.
        (rules(4, 10), 80, 10, [72, 64, 57, 51, 45, 40, 36, 32, 28, 24, 20, 16, 12, 10]),
        (rules(0, 10), 50, 40, [45, 40]),  # "limit scale down rate": 10 % per minute.
        (DOWN, 20, 1, [1]),  # "Default Behavior": 100 % may go …
        (UP, 1, 30, [5, 10, 20, 30]),  # … and 4 or 100 % come every 15 s, whichever is more.
        (rules(0, 0), 9, 1, [9, 9]),  # "disable scale down"
    ],
)
def test_step_by_step_it_comes_to_where_the_documentation_says(
    pace: Pace, begin: int, end: int, expected: list[int]
) -> None:
    found = [begin]
    for _ in expected:
        now = found[-1]
        more = min(end, hpa.up_limit(pace, now, 0, 0))
        found.append(more if end > now else max(end, hpa.down_limit(pace, now, 0, 0)))
    assert found[1:] == expected


def test_what_went_and_came_within_the_period_is_counted_from_where_it_began() -> None:
    assert hpa.up_limit(rules(4, 0), 6, added=4, removed=2) == 8
    assert hpa.down_limit(rules(4, 0), 6, added=0, removed=4) == 6
