"""The constants of an ONNX model: its initializers and what can be computed from them."""

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator

from shiftwork.quant.onnx_file import OnnxModel, OnnxNode
from shiftwork.quant.source_checks import one_line

MAX_FOLDED_ELEMENTS = 1 << 25
# The reference evaluator has no older versions of these, which mean the same.
OLDEST_EVALUATED = {"DequantizeLinear": 19, "QuantizeLinear": 19}
MAX_FOLDED_WORK = 1 << 30
PRODUCTS = frozenset({"Gemm", "MatMul"})
# Those whose cost is no more than that of their inputs and outputs, which are known in advance.
_FOLDED = """
    Abs Add And ArgMax ArgMin BatchNormalization Cast CastLike Ceil Clip Concat Constant
    ConstantOfShape DepthToSpace DequantizeLinear Div DynamicQuantizeLinear Equal Erf Exp Expand
    Flatten Floor Gather GatherElements GatherND Greater GreaterOrEqual HardSigmoid Identity
    LeakyRelu Less LessOrEqual Log LogSoftmax Max Mean Min Mod Mul Neg NonZero Not Or PRelu Pad Pow
    QuantizeLinear Range Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax
    ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Reshape Round ScatterElements
    Shape Sigmoid Sign Size Slice Softmax Softplus SpaceToDepth Split Sqrt Squeeze Sub Sum Tanh
    Tile Transpose Unsqueeze Where Xor
"""
FOLDED_OPS = PRODUCTS | frozenset(_FOLDED.split())
RANDOM_OPS = frozenset(
    {
        "Bernoulli",
        "Multinomial",
        "RandomNormal",
        "RandomNormalLike",
        "RandomUniform",
        "RandomUniformLike",
    }
)


class Constants:
    """Constant tensors by name.

    Initializers are decoded when they are first read. Folded nodes are computed by onnx's
    reference evaluator, after shape inference has shown that the results stay small.
    """

    def __init__(self, model: OnnxModel) -> None:
        self._initializers = model.initializers
        self._opset = model.opset
        self._arrays: dict[str, NDArray[Any]] = {}
        self._folded_elements = 0

    def __contains__(self, name: str) -> bool:
        return name in self._arrays or name in self._initializers

    def __getitem__(self, name: str) -> NDArray[Any]:
        if name not in self._arrays:
            self._arrays[name] = onnx.numpy_helper.to_array(self._initializers[name])
        return self._arrays[name]

    def __setitem__(self, name: str, array: NDArray[Any]) -> None:
        self._arrays[name] = array

    def can_fold(self, node: OnnxNode) -> bool:
        """Whether all inputs of ``node`` are constants."""
        return all(name in self for name in node.inputs if name)

    def fold(self, node: OnnxNode) -> None:
        """Computes the outputs of ``node``, whose inputs are all constants.

        Raises:
            ModelError: if it is random, too large or fails.
        """
        if node.op in RANDOM_OPS:
            raise node.error("makes random numbers, which is not supported")
        if node.op not in FOLDED_OPS:
            raise node.error(
                "works on constants only and is none of the ops that are computed while importing; "
                "let the exporter fold constants"
            )
        if node.op in PRODUCTS:
            self._check_work(node)
        outputs = [name for name in node.outputs if name]
        graph = onnx.helper.make_graph(
            [node.proto],
            "constant",
            [],
            [onnx.helper.make_empty_tensor_value_info(name) for name in outputs],
            [onnx.numpy_helper.from_array(self[name], name) for name in set(node.inputs) if name],
        )
        opset = max(self._opset, OLDEST_EVALUATED.get(node.op, 0))
        model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)])
        self._reserve(node, model)
        try:
            with np.errstate(all="ignore"):
                results = ReferenceEvaluator(model).run(None, {})
        except Exception as error:  # the evaluator raises whatever its operators raise
            raise node.error(
                f"works on constants only, but they cannot be computed: {one_line(error)}"
            ) from error
        for name, result in zip(outputs, results, strict=True):
            self[name] = np.asarray(result)

    def _check_work(self, node: OnnxNode) -> None:
        """A product does more work than its elements tell."""
        first, second = (self[name] for name in node.inputs[:2])
        if first.size * max(second.shape, default=1) > MAX_FOLDED_WORK:
            raise node.error(
                f"multiplies constants of the shapes {list(first.shape)} and {list(second.shape)}, "
                "which takes too long; let the exporter fold constants"
            )

    def _reserve(self, node: OnnxNode, model: Any) -> None:
        """Makes sure, before anything is computed, that the outputs of ``node`` are small."""
        try:
            inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
        except Exception as error:  # raised by the C++ side without a common type
            raise node.error(
                f"works on constants only, but they do not fit it: {one_line(error)}"
            ) from error
        for output in inferred.graph.output:
            tensor = output.type.tensor_type
            dims = [dim.dim_value for dim in tensor.shape.dim if dim.HasField("dim_value")]
            if not tensor.HasField("shape") or len(dims) < len(tensor.shape.dim):
                raise node.error("makes a constant whose shape cannot be told in advance")
            self._folded_elements += int(np.prod(dims, dtype=object))
        if self._folded_elements > MAX_FOLDED_ELEMENTS:
            raise node.error(
                f"makes a constant of the shape {dims}; all computed constants together may have "
                f"{MAX_FOLDED_ELEMENTS} elements"
            )
