"""The page of plugin authors: every name that `workbench` offers, and where it lies."""

from .checkpoints.hugging_face import (
    checkpoint_files as checkpoint_files,
    checkpoint_folder as checkpoint_folder,
    read_config as read_config,
    read_folder as read_folder,
)
from .checkpoints.image_processor import Preprocessing as Preprocessing, read_preprocessing as read_preprocessing
from .checkpoints.llava_layout import TransformersPart as TransformersPart
from .checkpoints.peft_adapters import (
    adapted_part as adapted_part,
    adapter_files as adapter_files,
    part_with as part_with,
    read_adapter as read_adapter,
    write_adapter as write_adapter,
)
from .checkpoints.small_likeness import small_decoder as small_decoder, small_tower as small_tower
from .checkpoints.tokenizer import (
    Corpus as Corpus,
    Tokenizer as Tokenizer,
    pretrained_tokenizer as pretrained_tokenizer,
    tokenizer_for as tokenizer_for,
)
from .checkpoints.transformers_models import read_pretrained as read_pretrained
from .checkpoints.weights import load_into as load_into, read_weights as read_weights
from .config.component import Checkpoint as Checkpoint
from .config.phase import Share as Share
from .contracts.adapter import Adapter as Adapter
from .contracts.connector import Connector as Connector
from .contracts.dataset import Dataset as Dataset
from .contracts.encoder import Encoder as Encoder, VisionShape as VisionShape
from .contracts.example import Example as Example, Prediction as Prediction, Turn as Turn
from .contracts.fusion import Fusion as Fusion, Inputs as Inputs
from .contracts.language_model import DecoderShape as DecoderShape, LanguageModel as LanguageModel
from .contracts.launcher import (
    Advance as Advance,
    Crew as Crew,
    Finished as Finished,
    Job as Job,
    Launcher as Launcher,
    Node as Node,
    Printed as Printed,
    Reason as Reason,
)
from .contracts.metric import Metric as Metric
from .contracts.quantizer import Quantizer as Quantizer
from .contracts.rgb_images import check_background as check_background, read_rgb as read_rgb, to_rgb as to_rgb
from .contracts.tiles import Tiles as Tiles
from .contracts.tracker import Tracker as Tracker
from .data.annotations import (
    LETTERS as LETTERS,
    csv_rows as csv_rows,
    json_entries as json_entries,
    json_lines as json_lines,
    json_members as json_members,
    json_values as json_values,
    multiple_choice as multiple_choice,
    read_entries as read_entries,
    text_lines as text_lines,
)
from .data.broken_entries import BrokenEntries as BrokenEntries, NamedEntries as NamedEntries
from .data.captions import KarpathySplits as KarpathySplits, caption_examples as caption_examples
from .data.entry import DataError as DataError, Entry as Entry, Line as Line, spoken as spoken
from .data.file_dataset import FileDataset as FileDataset
from .data.image_files import ImageFiles as ImageFiles, ends_of as ends_of, fault_of_image as fault_of_image
from .data.outside_paths import leads_out as leads_out
from .data.similar_names import similar_file as similar_file
from .data.vqa_files import COCO_2014 as COCO_2014, vqa_dataset as vqa_dataset
from .devices.capabilities import (
    has_int8_rows as has_int8_rows,
    multiplies as multiplies,
    multiplies_int8 as multiplies_int8,
)
from .devices.machine import free_memory as free_memory, usable_cores as usable_cores
from .errors import UserError as UserError, did_you_mean as did_you_mean
from .hookspecs import hookimpl as hookimpl
from .layers.attention import Attention as Attention, attend as attend
from .layers.cross_attention import CrossAttention as CrossAttention, KeysValues as KeysValues
from .layers.heads import heads_of as heads_of
from .layers.key_value_cache import KeyValueCache as KeyValueCache
from .layers.linear import (
    QuantizedLinear as QuantizedLinear,
    embedding_factor as embedding_factor,
    is_adaptable as is_adaptable,
    is_conv1d as is_conv1d,
    is_plain_linear as is_plain_linear,
    linear_sizes as linear_sizes,
    product_type as product_type,
    replace_modules as replace_modules,
)
from .layers.mlp import MLP as MLP
from .layers.prepared_linear import SideBySide as SideBySide, beside as beside, beside_as_one as beside_as_one
from .layers.rms_norm import RMSNorm as RMSNorm
from .layers.rotary import Rotary as Rotary, rotate as rotate
from .layers.tensors import pick as pick
from .layers.view_places import ViewPlaces as ViewPlaces
from .options import NOT_WRITTEN as NOT_WRITTEN
from .storage.hashing import file_hash as file_hash
from .workers.failure import died as died, lost as lost
from .workers.members import Needs as Needs, Place as Place
from .workers.remote import RemoteLauncher as RemoteLauncher
from .workers.worker import PRELOAD as PRELOAD, end_process as end_process, serve as serve

__version__: str
