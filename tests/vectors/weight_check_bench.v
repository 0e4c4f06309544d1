// Two accelerators that check their weights: one as it was generated, one with a wrong bit in a ROM.
`timescale 1ns / 1ps
`default_nettype none

module shiftwork_bench;
    /* verilator public_flat_rw_on */
    reg clk = 0, rst = 0;
    wire [1:0] right_check, wrong_check;
    wire right_ready, wrong_ready;
    /* verilator public_off */
    shiftwork_core right (
        .clk(clk), .rst(rst), .i_payload(8'd0), .i_valid(1'b1), .i_ready(right_ready),
        .o_ready(1'b1), .weight_check(right_check)
    );
    wrong_core wrong (
        .clk(clk), .rst(rst), .i_payload(8'd0), .i_valid(1'b1), .i_ready(wrong_ready),
        .o_ready(1'b1), .weight_check(wrong_check)
    );
endmodule
