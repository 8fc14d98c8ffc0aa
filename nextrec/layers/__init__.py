"""Building blocks of models, one idea a file. A block with a width says it in ``out_features``."""

from nextrec.layers.activation import ACTIVATIONS, Dice, activation_layer
from nextrec.layers.attention import AttentionPoolingLayer, MultiHeadSelfAttention
from nextrec.layers.chain import chain_logits
from nextrec.layers.cin import CIN
from nextrec.layers.cross import (
    CrossLayer,
    CrossNetMix,
    CrossNetV2,
    CrossNetwork,
    GatedCrossNetwork,
)
from nextrec.layers.domain import PartitionedNorm, StarLinear
from nextrec.layers.embedding import EmbeddingLayer, InputMask
from nextrec.layers.events import EventTokenizer
from nextrec.layers.first_order import FirstOrder
from nextrec.layers.fm import FM, BiLinearInteractionLayer, SENETLayer
from nextrec.layers.gates import GateBank
from nextrec.layers.gating import ExpertBank, ExpertMixture, mix
from nextrec.layers.generated import GeneratedLinear
from nextrec.layers.hard_concrete import HardConcrete
from nextrec.layers.hashing import SimHash, hamming_distance
from nextrec.layers.head import PredictionLayer
from nextrec.layers.history import Histories, find_pairs
from nextrec.layers.init import get_initializer
from nextrec.layers.linear import LR
from nextrec.layers.mask import InstanceGuidedMask
from nextrec.layers.mlp import MLP, BatchNorm1d, get_mlp_output_dim, mlp_from
from nextrec.layers.next_item import NextItemLoss
from nextrec.layers.numeric import AutoDis, NLinear, PeriodicEmbedding, PiecewiseLinear
from nextrec.layers.pairs import pair_inner_products, pair_positions, pair_products
from nextrec.layers.pooling import AveragePooling, ConcatPooling, MaxPooling, Pooling, SumPooling
from nextrec.layers.recurrent import AGRU, AUGRU, DynamicGRU
from nextrec.layers.selection import ContextGate, FieldGate, Regulation
from nextrec.layers.softmax import masked_softmax
from nextrec.layers.target_attention import MultiHeadTargetAttention
from nextrec.layers.tokens import GroupTokenizer, SplitTokenizer, TokenFeedForward, TokenLinear
from nextrec.layers.transformer import PositionalEmbedding, SelfAttention, TransformerBlock

__all__ = [
    "ACTIVATIONS",
    "AGRU",
    "AUGRU",
    "CIN",
    "FM",
    "LR",
    "MLP",
    "AttentionPoolingLayer",
    "AutoDis",
    "AveragePooling",
    "BatchNorm1d",
    "BiLinearInteractionLayer",
    "ConcatPooling",
    "ContextGate",
    "CrossLayer",
    "CrossNetMix",
    "CrossNetV2",
    "CrossNetwork",
    "Dice",
    "DynamicGRU",
    "EmbeddingLayer",
    "EventTokenizer",
    "ExpertBank",
    "ExpertMixture",
    "FieldGate",
    "FirstOrder",
    "GateBank",
    "GatedCrossNetwork",
    "GeneratedLinear",
    "GroupTokenizer",
    "HardConcrete",
    "Histories",
    "InputMask",
    "InstanceGuidedMask",
    "MaxPooling",
    "MultiHeadSelfAttention",
    "MultiHeadTargetAttention",
    "NLinear",
    "NextItemLoss",
    "PartitionedNorm",
    "PeriodicEmbedding",
    "PiecewiseLinear",
    "Pooling",
    "PositionalEmbedding",
    "PredictionLayer",
    "Regulation",
    "SENETLayer",
    "SelfAttention",
    "SimHash",
    "SplitTokenizer",
    "StarLinear",
    "SumPooling",
    "TokenFeedForward",
    "TokenLinear",
    "TransformerBlock",
    "activation_layer",
    "chain_logits",
    "find_pairs",
    "get_initializer",
    "get_mlp_output_dim",
    "hamming_distance",
    "masked_softmax",
    "mix",
    "mlp_from",
    "pair_inner_products",
    "pair_positions",
    "pair_products",
]
