"""What a run takes over from another one: a control from scratch that is the same."""

import logging
from pathlib import Path
from shutil import copytree

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.scratch import finished_folder
from graphrec_pt.recipe.folder import SCRATCH
from graphrec_pt.recipe.pretrained import Pretrained
from graphrec_pt.training.checkpoint import latest, load_checkpoint
from graphrec_pt.training.options import check_same_run
from graphrec_pt.training.trainer import CHECKPOINTS

logger = logging.getLogger(__name__)


def reuse_control(found: Pretrained | None, folder: Path, identity: dict[str, object]) -> bool:
    """Copy the trained control of another run if it is the same; return whether it was.

    The control is then resumed from its last checkpoint, where no step is left to be taken.

    Args:
        found: The pre-training of the other run; None for none.
        folder: Where the control of this run goes; nothing is copied over one that is there.
        identity: Of the control that is wanted: model, data, stages and options.
    """
    if found is None or folder.exists():
        return False
    source = found.folder / SCRATCH
    if latest(source / CHECKPOINTS) is None:
        return False
    try:
        check_same_run(
            str(source), load_checkpoint(source / CHECKPOINTS).state["identity"], identity
        )
    except GraphRecError as error:
        logger.info("the control from scratch is trained again: %s", error)
        return False
    with finished_folder(folder) as made:
        copytree(source, made, dirs_exist_ok=True)
    logger.info("reused: the control from scratch of %s, which is the same", source.parent)
    return True
