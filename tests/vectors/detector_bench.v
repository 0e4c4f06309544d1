// The detector of docs/embedding.md between registers and wires that cocotb can see.
`timescale 1ns / 1ps
`default_nettype none

module shiftwork_bench;
    /* verilator public_flat_rw_on */
    reg clk = 0, reset_n = 0, pixel_valid = 0, pixel_last = 0;
    reg [7:0] pixel = 0;
    wire pixel_ready, found, found_valid, broken;
    /* verilator public_off */
    detector dut (
        .clk(clk), .reset_n(reset_n),
        .pixel(pixel), .pixel_last(pixel_last),
        .pixel_valid(pixel_valid), .pixel_ready(pixel_ready),
        .found(found), .found_valid(found_valid), .broken(broken)
    );
endmodule
