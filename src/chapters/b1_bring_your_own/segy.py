"""Traces written as SEG-Y, revision 1, the two ways in which they come: a line by its CDPs, a shot gather."""

import struct
from pathlib import Path

import numpy as np
import torch


def write_segy(path: str | Path, traces: torch.Tensor, dt_us: int, *, cdp_m=None, source_m=None, group_m=None) -> None:
    """traces: (num, samples). cdp_m: (num,) along a stacked line; or source_m, a number, and group_m, (num,): a gather.

    Big-endian IEEE floats, headers by the byte numbers of the standard (SEG 2002).
    """
    binary = bytearray(400)
    sorting = 4 if cdp_m is not None else 1
    for byte, code, value in ((17, "H", dt_us), (21, "H", traces.shape[1]), (25, "h", 5), (29, "h", sorting)):
        struct.pack_into(f">{code}", binary, byte - 1, value)
    binary[300] = 1
    blocks = [b" " * 3200, bytes(binary)]
    for number, trace in enumerate(traces.numpy().astype(">f4")):
        head = bytearray(240)
        fields = [(29, "h", 1), (71, "h", 1), (115, "H", len(trace)), (117, "H", dt_us)]
        if cdp_m is not None:
            fields.append((181, "i", round(cdp_m[number])))
        if group_m is not None:
            fields += [(73, "i", round(source_m)), (81, "i", round(group_m[number]))]
        for byte, code, value in fields:
            struct.pack_into(f">{code}", head, byte - 1, value)
        blocks += [bytes(head), np.ascontiguousarray(trace).tobytes()]
    Path(path).write_bytes(b"".join(blocks))
