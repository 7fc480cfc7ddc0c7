"""The processor's prefetch instruction for compiled loops."""

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic


def _prefetch(_typing: Any, array: Any, place: Any) -> Any:
    """Ask for the cache line of ``array[place]``; a wrong place is harmless, nothing is read."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = signature.args[0]
        data = context.make_array(kind)(context, builder, arguments[0]).data
        byte = ir.IntType(8).as_pointer()
        word = ir.IntType(32)
        address = builder.bitcast(builder.gep(data, [arguments[1]]), byte)
        shape = ir.FunctionType(ir.VoidType(), [byte, word, word, word])
        insert: Any = cgutils.get_or_insert_function
        function = insert(builder.module, shape, "llvm.prefetch.p0")
        read, keep_close, data_cache = word(0), word(3), word(1)
        builder.call(function, [address, read, keep_close, data_cache])
        return context.get_dummy_value()

    return types.void(array, place), generate


prefetch: Any = intrinsic(_prefetch)
