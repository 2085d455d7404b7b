"""Plugins of every kind that do nothing: what a test of experiment files needs are names and options."""

from workbench import hookimpl


class Part:
    """A part without options."""


class Wire:
    def __init__(self, vision, text_width): ...


class Eye:
    def __init__(self, *, depth: int = 2, width: int = 8): ...


class Lens:
    def __init__(self, *, zoom: float = 1.0): ...


class Glue:
    def __init__(self, vision, decoder, *, depth: int = 1): ...


class Tape:
    def __init__(self, vision, decoder, *, strength: float = 0.5, blocks: tuple[int, ...] = (0,)): ...


class Nails:
    def __init__(self, vision, decoder, *, count: int): ...


class Parrot:
    def __init__(self, corpus, *, width: int = 16, depth: int = 2): ...


class Slim:
    def __init__(self, *, rank: int = 8, alpha: float = 16.0): ...


class Rough:
    def __init__(self, *, bits: int = 8): ...


class Album:
    def __init__(self, *, size: int = 10, flip: bool = False): ...


class Close:
    def __init__(self, *, tolerance: float = 0.1): ...


@hookimpl
def register_encoders(register):
    register("eye", Eye)
    register("lens", Lens)


@hookimpl
def register_connectors(register):
    register("wire", Wire)


@hookimpl
def register_fusions(register):
    register("glue", Glue)
    register("tape", Tape)
    register("nails", Nails)


@hookimpl
def register_language_models(register):
    register("parrot", Parrot)


@hookimpl
def register_adapters(register):
    register("whole", Part)
    register("slim", Slim)


@hookimpl
def register_quantizers(register):
    register("exact", Part)
    register("rough", Rough)


@hookimpl
def register_datasets(register):
    register("album", Album)


@hookimpl
def register_metrics(register):
    register("right", Part)
    register("close", Close)
