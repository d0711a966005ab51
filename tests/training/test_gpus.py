"""Which GPU a job takes, on machines that are pretended."""

import os
from pathlib import Path

import pytest

from histobench.io.errors import HistoBenchError
from histobench.training import gpus
from histobench.training.gpus import Gpu, Plan

ONE = [Gpu(0, "a")]
TWO = [Gpu(0, "a"), Gpu(1, "b")]
LEASED = Plan("cuda", tuple(TWO), leased=True)
CPU, MPS = Plan("cpu"), Plan("mps")


@pytest.mark.parametrize(
    ("name", "share", "seen", "mps", "expected"),
    [
        ("auto", 1, TWO, False, LEASED),
        ("auto", 4, TWO, True, LEASED),
        ("auto", 1, [], True, MPS),
        ("auto", 1, [], False, CPU),
        ("auto", 0, TWO, True, CPU),
        ("cuda", 0, TWO, False, CPU),
        ("cuda", 1, TWO, False, LEASED),
        ("cuda:1", 1, TWO, False, Plan("cuda", (TWO[1],), leased=True)),
        ("cuda:0", 2, ONE, False, Plan("cuda", (ONE[0],), leased=True)),
        ("mps", 1, [], True, MPS),
        ("cpu", 1, TWO, True, CPU),
    ],
)
def test_where_a_job_computes_on_ones_own_machine(name, share, seen, mps, expected):
    assert gpus.plan(name, share, seen, mps, {"HOME": "/", "CUDA_VISIBLE_DEVICES": "0,1"}) == expected


JOBS = {"SLURM_JOB_ID": "7", "PBS_JOBID": "7.host", "LSB_JOBID": "7", "SGE_TASK_ID": "undefined"}


@pytest.mark.parametrize("variable", JOBS)
def test_a_single_gpu_that_a_scheduler_assigned_is_taken_without_a_lease(variable):
    environment = {variable: JOBS[variable], "CUDA_VISIBLE_DEVICES": "3"}
    for name in ("auto", "cuda", "cuda:0"):
        assert gpus.plan(name, 1, ONE, False, environment) == Plan("cuda", (ONE[0],), leased=False)


@pytest.mark.parametrize("variable", JOBS)
def test_what_a_scheduler_did_not_assign_is_left_alone(variable):
    plan = gpus.plan("auto", 1, TWO, False, {variable: JOBS[variable]})
    assert (plan.kind, plan.gpus) == ("cpu", ())
    assert "assigned no GPU to this job: it computes on the CPU, though 2 can be seen" in plan.why
    assert "`device: cuda`" in plan.why
    assert gpus.plan("cuda", 1, TWO, False, {variable: JOBS[variable]}) == LEASED


@pytest.mark.parametrize(
    "environment",
    [{"SLURM_JOB_ID": "7", "SLURM_JOB_GPUS": "2,3"}, {"PBS_JOBID": "7", "CUDA_VISIBLE_DEVICES": "GPU-a,GPU-b"}],
)
def test_jobs_side_by_side_in_one_allocation_still_lease_one_each(environment):
    assert gpus.plan("auto", 1, TWO, False, environment) == LEASED


def test_a_pod_owns_what_it_sees():
    assert gpus.plan("auto", 1, ONE, False, {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}) == Plan("cuda", (ONE[0],))
    assert gpus.plan("auto", 1, [], False, {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}) == CPU


@pytest.mark.parametrize(
    ("name", "share", "message"),
    [
        ("cuda:2", 1, "--device cuda:2: PyTorch finds 2 CUDA GPUs on this machine; choose another, or auto or cpu"),
        ("mps", 1, "--device mps: PyTorch finds no Apple GPU on this machine; choose auto or cpu"),
        ("cuda:", 1, "--device cuda:: no such kind of device; write auto, cpu, cuda, cuda:N or mps"),
        ("auto", -1, "--share -1: the jobs that may share a GPU are counted from 1, or 0 to use none"),
    ],
)
def test_what_is_not_there_is_said(name, share, message):
    with pytest.raises(HistoBenchError) as caught:
        gpus.plan(name, share, TWO, False, {})
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        (None, 4),
        ("2,3", 2),
        ("0,1,2,3,4,5", 4),
        ("", 0),
        ("NoDevFiles", 0),
        ("-1", 0),
        ("1,-1,2", 1),
        ("GPU-5a,MIG-7", 2),
    ],
)
def test_gpus_are_counted_without_pytorch(tmp_path, visible, expected):
    for name in ("0000:01:00.0", "0000:02:00.0", "0000:81:00.0", "0000:82:00.0"):
        (tmp_path / "proc/driver/nvidia/gpus" / name).mkdir(parents=True)
    environment = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    assert gpus.count("auto", environment, tmp_path) == gpus.count("cuda", environment, tmp_path) == expected
    assert [gpus.count(name, environment, tmp_path) for name in ("cpu", "mps", "cuda:3")] == [0, 0, 1]


def test_amd_and_a_subsystem_are_counted_too(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert gpus.count("auto", {}, tmp_path) == 0
    nvidia_smi(tmp_path / "bin", 3)
    assert gpus.count("auto", {}, tmp_path) == 3
    for node, number in enumerate(("0", "51234", "9876")):
        (tmp_path / f"sys/class/kfd/kfd/topology/nodes/{node}").mkdir(parents=True)
        (tmp_path / f"sys/class/kfd/kfd/topology/nodes/{node}/gpu_id").write_text(number + "\n")
    assert gpus.count("auto", {}, tmp_path) == 2


def nvidia_smi(folder: Path, number: int) -> None:
    """Make a program that lists GPUs as NVIDIA's does, one of them divided."""
    folder.mkdir()
    lines = [f"GPU {index}: NVIDIA A100-SXM4-40GB (UUID: GPU-5a1c{index})" for index in range(number)]
    lines.insert(1, "  MIG 1g.5gb      Device  0: (UUID: MIG-0b1c)")
    (folder / "nvidia-smi").write_text("#!/bin/sh\n" + "".join(f"echo '{line}'\n" for line in lines))
    (folder / "nvidia-smi").chmod(0o755)


@pytest.mark.parametrize(("others", "said"), [(0, ""), (7, ""), (9, "other processes have 9.0 of its 80.0 GiB: lower")])
def test_memory_that_others_have_is_named(others, said):
    gib = 2**30
    told = gpus.crowded(80 * gib - others * gib - 20 * gib - gib // 2, 80 * gib, 20 * gib)
    assert told.startswith(said)
    assert bool(told) == bool(said)
    assert not said or "`gpu_slots`" in told


def test_counting_takes_no_environment_but_what_it_is_given(tmp_path, monkeypatch):
    (tmp_path / "proc/driver/nvidia/gpus/0000:01:00.0").mkdir(parents=True)
    monkeypatch.setitem(os.environ, "CUDA_VISIBLE_DEVICES", "")
    assert gpus.count("auto", {}, tmp_path) == 1
