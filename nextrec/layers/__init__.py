"""Building blocks of models, one idea a file. A block with a width says it in ``out_features``."""

from nextrec.layers.activation import ACTIVATIONS, Dice, activation_layer
from nextrec.layers.attention import AttentionPoolingLayer, MultiHeadSelfAttention
from nextrec.layers.cross import CrossLayer, CrossNetMix, CrossNetV2, CrossNetwork
from nextrec.layers.embedding import EmbeddingLayer, InputMask
from nextrec.layers.first_order import FirstOrder
from nextrec.layers.fm import FM, BiLinearInteractionLayer, SENETLayer
from nextrec.layers.gating import ExpertBank, ExpertMixture, mix
from nextrec.layers.head import PredictionLayer
from nextrec.layers.init import get_initializer
from nextrec.layers.linear import LR
from nextrec.layers.mlp import MLP, BatchNorm1d, get_mlp_output_dim, mlp_from
from nextrec.layers.pairs import pair_inner_products, pair_positions, pair_products
from nextrec.layers.pooling import (
    AveragePooling,
    ConcatPooling,
    MaxPooling,
    Pooling,
    SumPooling,
)

__all__ = [
    "ACTIVATIONS",
    "FM",
    "LR",
    "MLP",
    "AttentionPoolingLayer",
    "AveragePooling",
    "BatchNorm1d",
    "BiLinearInteractionLayer",
    "ConcatPooling",
    "CrossLayer",
    "CrossNetMix",
    "CrossNetV2",
    "CrossNetwork",
    "Dice",
    "EmbeddingLayer",
    "ExpertBank",
    "ExpertMixture",
    "FirstOrder",
    "InputMask",
    "MaxPooling",
    "MultiHeadSelfAttention",
    "Pooling",
    "PredictionLayer",
    "SENETLayer",
    "SumPooling",
    "activation_layer",
    "get_initializer",
    "get_mlp_output_dim",
    "mix",
    "mlp_from",
    "pair_inner_products",
    "pair_positions",
    "pair_products",
]
