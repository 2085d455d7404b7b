"""Options that readers of files have in common."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from workbench import NOT_WRITTEN, Share

Images = Annotated[Path | dict[str, Path], Field(description="folder of the images, or one for each split")]
ImageName = Annotated[
    str, Field(description="how files are named: {image_id} from the annotations, {folder} the folder's own name")
]
WHITE = "white"
Background = Annotated[
    str, Field(description="colour that transparent parts of images are seen on: white, black, '#808080' ...")
]
Question = Annotated[str, Field(description="what is asked about every image")]
TestShare = Annotated[
    Share, Field(description="share of the images of train that become the split test, where it has no file")
]
MostBroken = Annotated[
    Share, Field(description="share of a split's images, or entries, that may be missing or damaged; they are left out")
]
OutsidePaths = Annotated[
    bool,
    Field(description="images may lie outside their folder: names as ../x.jpg and /x.jpg in the data are followed"),
    NOT_WRITTEN,
]
