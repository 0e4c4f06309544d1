"""The ports of the generated modules, in words, by their names in Verilog: for the manifest."""

from shiftwork.hw.config import ArrayConfig

FLASH_PORTS = {
    "flash_cs_n": "output, to the SPI flash, idle high",
    "flash_sck": "output, half the clock",
    "flash_mosi": "output",
    "flash_miso": "input",
    "status": "output [1:0], 0: no error; why the weights were not loaded: 1 no image, "
    "2 another build's, 3 damaged",
}
CHECK_PORTS = {
    "weight_check": "output [1:0], 0 while the weight ROMs are checked, 1 if they are right, 2 if "
    "not: i is never ready then",
}
BYTE_IN = "a byte of the frame in NHWC order"
BYTE_OUT = "a byte of the result, 32-bit values little endian"
ANSWER_OUT = "a byte of the answer: the class, then its score, both little endian"
BUSY = "output, high while a frame is computed"


def stream_ports(config: ArrayConfig) -> dict[str, str]:
    """Of ``shiftwork_core``."""
    width = config.shape.word_bytes
    return {
        "clk": "input, rising edge",
        "rst": "input, synchronous, active high",
        "i_payload": f"input [7:0], {BYTE_IN}",
        "i_valid": "input",
        "i_ready": "output",
        "o_payload": f"output [7:0], {_byte_out(config)}",
        "o_valid": "output",
        "o_ready": "input",
        "busy": BUSY,
        **(FLASH_PORTS if config.payload_bytes else {}),
        "trace_valid": "output, for verification: leave the trace ports open",
        "trace_layer": "output [7:0]",
        "trace_offset": "output [23:0]",
        "trace_data": f"output [{8 * width - 1}:0]",
        "trace_mask": f"output [{width - 1}:0]",
    }


def _byte_out(config: ArrayConfig) -> str:
    return ANSWER_OUT if config.class_bytes else BYTE_OUT


def axi_stream_ports(config: ArrayConfig) -> dict[str, str]:
    """Of ``shiftwork_axi_stream``."""
    return {
        "aclk": "input, rising edge",
        "aresetn": "input, synchronous, active low",
        "s_axis_tdata": f"input [7:0], {BYTE_IN}",
        "s_axis_tvalid": "input",
        "s_axis_tready": "output",
        "s_axis_tlast": "input, with the frame's last byte; a frame of another length is discarded",
        "m_axis_tdata": f"output [7:0], {_byte_out(config)}",
        "m_axis_tvalid": "output",
        "m_axis_tready": "input",
        "m_axis_tlast": "output, with the result's last byte",
        "busy": BUSY,
        "frame_event": "output [1:0], for one cycle, once for each input frame: 1 taken, 2 too "
        "short, 3 too long; else 0",
        "frame_errors": "output [1:0], bit 0: a frame was too short, bit 1: too long; stays",
        "frames_discarded": "output [7:0], number of frames of a wrong length, modulo 256",
        "clear_errors": "input, forgets frame_errors and frames_discarded; tie to 0 if unused",
        **(FLASH_PORTS if config.payload_bytes else {}),
    }
