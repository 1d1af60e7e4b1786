import threading
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from controller.act import pages as paging
from controller.act.pages import RecordKey, label_value
from controller.act.record import RecordKeeper
from controller.api.reasons import Reason
from controller.api.record import ArmCounts, FrozenAnalysis, RecordedDecision, RecordedWindow, RolloutRecordSpec, Row
from controller.api.spec import Analysis, Margin, Metric, Ratio
from controller.api.status import Revision
from controller.observe.cluster import RECORDS, ClusterPort, Json, NotFound
from tests.controlplane.objects import Watched

pytestmark = pytest.mark.controlplane

NOON = datetime(2026, 8, 1, 12, tzinfo=UTC)
ANALYSIS = Analysis(
    metrics=(
        Metric(name="errors", ratio=Ratio(bad="bad_total", total="all_total"), margin=Margin(absolute=Decimal("0.01"))),
    )
)


def page(key: RecordKey, *, frozen: str = "f1", candidate: str = "v2") -> RolloutRecordSpec:
    return RolloutRecordSpec(
        rollout=key.rollout,
        rollout_uid=key.uid,
        epoch=key.epoch,
        page=0,
        stable=Revision(deployment="fraud-v1", service="fraud-v1", hash="v1"),
        candidate=Revision(deployment="fraud-v2", service="fraud-v2", hash=candidate),
        frozen=FrozenAnalysis(
            hash=frozen,
            attempt=1,
            alpha="0.03",
            steps=(5, 50),
            interval=timedelta(seconds=30),
            horizon=720,
            min_requests=100,
            analysis=ANALYSIS,
            metrics=(),
        ),
    )


def window(number: int, *, transition: int = 3, total: int = 100, message: str = "") -> RecordedWindow:
    counts = ArmCounts(total=str(total), bad="1", effective_total=str(total), effective_bad="1")
    start = NOON + number * timedelta(seconds=30)
    row = Row(metric="errors", stable=counts, candidate=counts, message=message)
    return RecordedWindow(
        transition=transition, number=number, weight=5, start=start, end=start + timedelta(seconds=30), rows=(row,)
    )


def decision(message: str) -> RecordedDecision:
    return RecordedDecision(
        transition=3, at=NOON, phase="Progressing", weight=5, reason=Reason.STEP_ADVANCED, message=message
    )


@pytest.fixture
def key(namespace: str) -> RecordKey:
    return RecordKey(namespace, "fraud", "uid-1", 1)


@pytest.fixture
def keeper(cluster: ClusterPort) -> RecordKeeper:
    return RecordKeeper(cluster)


def names(cluster: ClusterPort, namespace: str) -> list[str]:
    return sorted(each["metadata"]["name"] for each in cluster.list(RECORDS, namespace))


def test_open_page_tells_whose_it_is(keeper: RecordKeeper, cluster: ClusterPort, key: RecordKey) -> None:
    record = keeper.open(key.namespace, page(key))
    assert (record.windows, record.decisions, record.verdict) == ((), (), None)
    assert record.frozen == page(key).frozen
    stored = cluster.get(RECORDS, key.namespace, "fraud-1-0")
    assert stored["metadata"]["labels"] == {"modelrollout.dev/rollout": "fraud", "modelrollout.dev/epoch": "1"}
    assert "ownerReferences" not in stored["metadata"]
    assert RolloutRecordSpec.model_validate(stored["spec"]) == page(key)


def test_who_opens_second_gets_what_the_first_has_fixed(keeper: RecordKeeper, key: RecordKey) -> None:
    keeper.open(key.namespace, page(key))
    calibrated = page(key).model_copy(update={"frozen": page(key).frozen.model_copy(update={"horizon": 7})})
    assert keeper.open(key.namespace, calibrated).frozen.horizon != 7


def test_unused_page_of_another_trial_is_replaced_and_a_used_one_is_not(keeper: RecordKeeper, key: RecordKey) -> None:
    keeper.open(key.namespace, page(key, frozen="left behind"))
    assert keeper.open(key.namespace, page(key)).frozen.hash == "f1"
    assert keeper.open(key.namespace, page(key, candidate="v3")).candidate.hash == "v3"
    keeper.append(key, [window(0)])
    assert keeper.open(key.namespace, page(key)).candidate.hash == "v3"


def test_no_record_is_none_and_cannot_be_written(keeper: RecordKeeper, key: RecordKey) -> None:
    assert keeper.read(key) is None
    with pytest.raises(NotFound, match="the record of epoch 1 of ModelRollout"):
        keeper.append(key, [window(0)])


def test_rows_are_read_back_as_they_were_written_first(
    keeper: RecordKeeper, cluster: ClusterPort, key: RecordKey
) -> None:
    keeper.open(key.namespace, page(key))
    assert keeper.append(key, [window(0), window(1)]).windows == (window(0), window(1))
    other = RecordKeeper(cluster)
    found = other.append(key, [window(1, total=999), window(2), window(0, transition=4)])
    assert found.windows == (window(0), window(1), window(2), window(0, transition=4))
    assert keeper.read(key) == found


def test_append_of_what_is_stored_writes_nothing(cluster: ClusterPort, key: RecordKey) -> None:
    watched = Watched(cluster)
    keeper = RecordKeeper(watched)
    keeper.open(key.namespace, page(key))
    keeper.append(key, [window(0)])
    keeper.append(key, [window(0, total=5)])
    assert watched.writes == ["rolloutrecords/fraud-1-0", "rolloutrecords/fraud-1-0"]


def test_full_page_closes_and_is_not_read_again(
    cluster: ClusterPort, key: RecordKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paging, "PAGE_WINDOWS", 3)
    reads: list[str] = []

    class Reads(Watched):
        def get(self, *arguments: object, **options: object) -> Json:
            reads.append(str(arguments[2]))
            return super().get(*arguments, **options)  # type: ignore[arg-type]

    keeper = RecordKeeper(Reads(cluster))
    keeper.open(key.namespace, page(key))
    rows = [window(number) for number in range(8)]
    assert keeper.append(key, rows).windows == tuple(rows)
    assert names(cluster, key.namespace) == ["fraud-1-0", "fraud-1-1", "fraud-1-2"]
    reads.clear()
    assert keeper.read(key) == RecordKeeper(cluster).read(key)
    assert reads == ["fraud-1-2"]


def test_page_of_long_rows_stays_below_200_kib(keeper: RecordKeeper, cluster: ClusterPort, key: RecordKey) -> None:
    keeper.open(key.namespace, page(key))
    rows = [
        window(number, message="x" * 1000).model_copy(update={"rows": window(0, message="x" * 1000).rows * 20})
        for number in range(20)
    ]
    assert keeper.append(key, rows).windows == tuple(rows)
    sizes = [paging.json_size(each["spec"]) for each in cluster.list(RECORDS, key.namespace)]
    assert len(sizes) > 1
    assert max(sizes) < 200 * 1024


def test_three_writers_at_once(cluster: ClusterPort, key: RecordKey, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paging, "PAGE_WINDOWS", 7)
    RecordKeeper(cluster).open(key.namespace, page(key))
    seen: dict[int, list[tuple[RecordedWindow, ...]]] = {writer: [] for writer in range(3)}
    errors: list[BaseException] = []

    def operate(writer: int) -> None:
        keeper = RecordKeeper(cluster)
        try:
            for number in range(20):
                seen[writer].append(keeper.append(key, [window(number, total=1000 + writer)]).windows)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=operate, args=(writer,)) for writer in seen]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    record = RecordKeeper(cluster).read(key)
    assert record is not None
    assert [each.key for each in record.windows] == [(3, number) for number in range(20)]
    for looks in seen.values():
        for look in looks:
            assert look == record.windows[: len(look)], "a row that somebody saw has changed"
    pages = sorted(cluster.list(RECORDS, key.namespace), key=lambda each: int(each["spec"]["page"]))
    assert [len(each["spec"]["windows"]) for each in pages] == [7, 7, 6]


def test_decisions_and_verdict(keeper: RecordKeeper, key: RecordKey, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paging, "PAGE_DECISIONS", 2)
    keeper.open(key.namespace, page(key))
    for message in ("one", "two", "two", "three", "one"):
        keeper.note(key, decision(message))
    keeper.close(key, "RolledBack")
    keeper.close(key, "Promoted")
    record = keeper.read(key)
    assert record is not None
    assert [each.message for each in record.decisions] == ["one", "two", "three"]
    assert record.verdict == "RolledBack"


def test_namesake_with_another_uid_has_its_own_pages(keeper: RecordKeeper, key: RecordKey) -> None:
    successor = RecordKey(key.namespace, key.rollout, "uid-2", 1)
    keeper.open(key.namespace, page(key))
    keeper.append(key, [window(0)])
    keeper.open(key.namespace, page(successor))
    keeper.append(successor, [window(5)])
    first, second = keeper.read(key), keeper.read(successor)
    assert first is not None
    assert second is not None
    assert (first.windows, second.windows) == ((window(0),), (window(5),))


def test_highest_epoch_is_over_all_namesakes(keeper: RecordKeeper, namespace: str) -> None:
    assert keeper.highest_epoch(namespace, "fraud") == 0
    for rollout, uid, epoch in (("fraud", "uid-1", 2), ("fraud", "uid-2", 11), ("other", "uid-3", 40)):
        keeper.open(namespace, page(RecordKey(namespace, rollout, uid, epoch)))
    assert keeper.highest_epoch(namespace, "fraud") == 11


def test_prune_keeps_the_newest_epochs(
    keeper: RecordKeeper, cluster: ClusterPort, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paging, "PAGE_WINDOWS", 1)
    for epoch in (1, 2, 9, 10):
        key = RecordKey(namespace, "fraud", "uid-1", epoch)
        keeper.open(namespace, page(key))
        keeper.append(key, [window(0), window(1)])
    keeper.open(namespace, page(RecordKey(namespace, "other", "uid-2", 1)))
    assert keeper.prune(namespace, "fraud", keep=2) == 4
    assert names(cluster, namespace) == ["fraud-10-0", "fraud-10-1", "fraud-9-0", "fraud-9-1", "other-1-0"]


def test_longest_names_fit(keeper: RecordKeeper, cluster: ClusterPort, namespace: str) -> None:
    long, similar = "a" * 253, "a" * 252 + "b"
    for rollout in (long, similar):
        key = RecordKey(namespace, rollout, "uid-1", 1)
        keeper.open(namespace, page(key))
        keeper.append(key, [window(0)])
        assert keeper.read(key) is not None
        assert keeper.highest_epoch(namespace, rollout) == 1
    assert len(set(names(cluster, namespace))) == 2
    assert label_value(long) != label_value(similar)
