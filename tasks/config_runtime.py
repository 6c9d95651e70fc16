"""The section of the configuration that says where and how wide it runs: what shapes no result."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from tasks.config_sections import Count, Scale, Seconds, Section

CLIENT_REFUSED = (
    "Ray Client (ray://) is not supported: run the command on a node of the cluster, with HOST:PORT or auto"
)
"""A run reads what its workers leave under the root, so it must be where they are: a client is a wire to elsewhere."""


class Needs(Section):
    """What Ray sets aside for one worker, and on which nodes it may run."""

    cpus: float = Field(default=1.0, gt=0, description="CPUs")
    gpus: float | None = Field(
        default=None, ge=0, description="GPUs, or a share of one; null: what `runtime.gpus` says, to train 1"
    )
    memory_gb: float | None = Field(default=None, gt=0, description="memory; 1e9 bytes; null: not counted")
    custom: dict[str, float] = Field(default={}, description="resources that the cluster names itself")
    labels: dict[str, str] = Field(default={}, description="only on nodes with these labels of Ray: {market: '!spot'}")


class Hands(Needs):
    """The same, for a pool of workers."""

    workers: Annotated[int, Field(ge=0)] = Field(
        default=0,
        description="how many, whether or not there are nodes for them yet (an autoscaler brings those); 0: "
        "`runtime.actors`, on GPUs as many as the nodes hold now",
    )


class Resources(Section):
    """Of the workers of each kind."""

    preprocess: Hands = Field(default=Hands(), description="takes a source through the steps")
    read: Hands = Field(default=Hands(), description="looks at videos and finishes files, where others render")
    render: Hands = Field(default=Hands(), description="renders; on a CPU it reads too")
    train: Needs = Field(default=Needs(), description="one worker of a training")


class Runtime(Section):
    """Where and how wide it runs. Shapes no result, so it is no part of the hash."""

    ray: str | None = Field(
        default=None, description="Ray cluster: HOST:PORT, 'auto' or 'local'; null: RAY_ADDRESS, else one of its own"
    )
    resources: Resources = Field(default=Resources(), description="what each kind of worker takes of the cluster")
    node_wait_s: Seconds = Field(
        default=900.0, description="longest wait for a node that can hold a worker (an autoscaler brings one); seconds"
    )
    num_cpus: Annotated[int, Field(ge=0)] = Field(
        default=0, description="CPUs given to a Ray started here; 0: what is there"
    )
    actors: Annotated[int, Field(ge=0)] = Field(
        default=0, description="workers, whether or not there are CPUs for them yet; 0: as many as the nodes hold now"
    )
    gpus: float = Field(
        default=0.0, ge=0, description="share of a GPU that each preprocessing worker takes for its networks; 0: none"
    )
    in_process: bool = Field(default=False, description="work in this process, one item after the other, without Ray")
    threads: Count = Field(default=1, description="threads of torch and onnxruntime in each worker")
    batch_windows: Count = Field(
        default=1, description="windows of several files that a render worker gives the model at once; more for a GPU"
    )
    object_store_mb: Annotated[int, Field(ge=80)] = Field(default=256, description="Ray's object store; MiB")
    fetched_mb: Count = Field(default=20_480, description="copies kept of footage from object stores; MiB")
    max_restarts: Annotated[int, Field(ge=0)] = Field(default=2, description="times a dead worker is started again")
    max_task_retries: Annotated[int, Field(ge=0)] = Field(default=1, description="tries more when a worker died")
    max_attempts: Count = Field(default=2, description="tries after which an item that kills its worker is left out")
    clip_limit_s: Seconds = Field(
        default=300.0,
        description="longest that a step may take for a clip, or a film without a frame; seconds; 0: none",
    )
    price_per_cpu_hour: Scale | None = Field(
        default=None, description="for the costs of a plan; any currency for an hour of a CPU; null: no costs"
    )
    price_per_gpu_hour: Scale | None = Field(default=None, description="the same for an hour of an accelerator")
    price_per_gb_month: Scale | None = Field(default=None, description="the same for a month of 1e9 bytes kept")

    @field_validator("ray")
    @classmethod
    def _reaches_a_node(cls, address: str | None) -> str | None:
        if address is not None and address.startswith("ray://"):
            raise ValueError(CLIENT_REFUSED)
        return address

    def gpus_of(self, kind: Literal["preprocess", "read", "render", "train"]) -> float:
        """GPUs of a worker of that kind, where it works on one."""
        given = getattr(self.resources, kind).gpus
        if given is not None:
            return float(given)
        return {"preprocess": self.gpus, "read": 0.0, "render": self.gpus or 1.0, "train": 1.0}[kind]
