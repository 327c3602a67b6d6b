"""Whatever is sent, the service never answers with an error of its own.

Schemathesis takes a second to import, so it is imported where it is used; its plugin is off.
"""

from __future__ import annotations

import json
import string
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from anyio.from_thread import BlockingPortal
from api_support import CONFIG, Lab, made_lab, served
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from test_api_access import TABLE, UNDOCUMENTED

FREELY = {
    "rate_per_s": 1e6,
    "rate_burst": 10**6,
    "max_active_jobs": 10**6,
}


@pytest.fixture(scope="module")
def open_lab(
    tmp_path_factory: pytest.TempPathFactory, portal: BlockingPortal
) -> Iterator[tuple[Lab, str]]:
    """A served API without limits on how often it is asked, with a job of every kind."""
    with made_lab(tmp_path_factory.mktemp("runs"), portal, **FREELY) as lab:
        lab.lease = lab.store.take_lease("test", now=lab.clock.now(), seconds=1e6)
        ended = lab.started(lab.stored())
        lab.log(ended).write_text("hello\n" * 100)
        lab.ended(ended)
        with served(lab) as url:
            yield lab, url


@pytest.fixture(scope="module")
def api_schema(open_lab: tuple[Lab, str]) -> Any:
    """The service's own document; names of what exists are likely in requests made from it."""
    import schemathesis

    lab, url = open_lab
    document = lab.call("GET", "/v1/openapi.json", None).json()
    likely = {
        "id": [*(job.id for job in lab.store.page().jobs), "1", "nothere", "a b", "\0", "é"],
        "node": ["lab1", "lab2", "..", "\n"],
        "gpu": ["0", "1", "9999", "-1", "x"],
    }
    for methods in document["paths"].values():
        for operation in methods.values():
            for parameter in operation.get("parameters", ()):
                if parameter["name"] in likely:
                    parameter["schema"] = {"enum": likely[parameter["name"]]}
    hold = document["components"]["schemas"]["SubmitHold"]["properties"]
    hold["node"], hold["gpu"] = {"enum": ["lab1", "lab2"]}, {"enum": [0, 1, 2, 3, -1, "x"]}
    schema = schemathesis.openapi.from_dict(document)
    schema.config.update(base_url=url)
    return schema


OPERATIONS = [route for route in TABLE if route not in UNDOCUMENTED]


def _send_many(schema: Any, open_lab: tuple[Lab, str], route: str, examples: int) -> None:
    """Send requests made from the document to one of its operations, and judge the answers."""
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi import checks

    judged = (
        not_a_server_error,
        checks.content_type_conformance,
        checks.response_schema_conformance,
    )
    method, path = route.split(" ")
    headers = {"Authorization": f"Bearer {open_lab[0].tokens['olga']}"}

    @given(case=schema[path][method].as_strategy())
    @settings(
        max_examples=examples,
        deadline=None,
        suppress_health_check=[*HealthCheck],
        phases=(Phase.explicit, Phase.generate),
    )
    def send(case: Any) -> None:
        case.call_and_validate(headers=headers, checks=judged, timeout=10)

    send()


@pytest.mark.parametrize("route", OPERATIONS)
def test_no_request_breaks_the_service(
    api_schema: Any, open_lab: tuple[Lab, str], route: str
) -> None:
    _send_many(api_schema, open_lab, route, examples=12)


@pytest.mark.slow
@pytest.mark.parametrize("route", OPERATIONS)
def test_many_requests_do_not_break_the_service(
    api_schema: Any, open_lab: tuple[Lab, str], route: str
) -> None:
    _send_many(api_schema, open_lab, route, examples=300)


VALUE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["10GiB", "1e400", "../..", "\0", "\ud800", "nan", 2**63, -1, [], {}]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
SECTION = st.dictionaries(
    st.sampled_from(
        ["steps", "global_batch", "lr", "optimizer", "workers", "gpu_memory", "runs_dir"]
    )
    | st.text(string.ascii_letters, max_size=6),
    VALUE,
    max_size=4,
)
BODY = st.fixed_dictionaries(
    {"workload": st.just("nbv") | VALUE},
    optional={
        "config": st.dictionaries(
            st.sampled_from(["train", "resources", "platform", "experiment", "seed", "data"]),
            SECTION | VALUE,
            max_size=4,
        ).map(lambda config: {**CONFIG, **config}),
        "gpus": VALUE,
        "gpu_share": VALUE,
        "gpu_memory": VALUE,
        "priority": VALUE,
        "name": VALUE,
        "entrypoint": VALUE,
    },
)


@given(body=BODY)
@settings(max_examples=150, deadline=None, suppress_health_check=[*HealthCheck])
def test_no_job_breaks_the_service(open_lab: tuple[Lab, str], body: dict[str, Any]) -> None:
    lab, _ = open_lab
    answer = lab.call(
        "POST",
        "/v1/jobs",
        "olga",
        content=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    assert answer.status_code in (202, 400, 422), answer.text
    if answer.status_code == 202:
        shown = lab.call("GET", answer.headers["location"])
        assert shown.json()["config"] == answer.json()["config"]


def test_the_service_was_alive_to_the_end(open_lab: tuple[Lab, str], tmp_path: Path) -> None:
    assert open_lab[0].call("GET", "/readyz", None).status_code == 200
