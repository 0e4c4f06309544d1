// Gowin's multiplier, as far as Shiftwork uses it: signed 9 x 9 bits, registers at the operands and
// at the product, always enabled. Yosys has no model of it. Any other setting stops the simulation.
`timescale 1ns / 1ps
module MULT9X9 #(
    parameter AREG = 1'b0,
    parameter BREG = 1'b0,
    parameter OUT_REG = 1'b0,
    parameter PIPE_REG = 1'b0,
    parameter ASIGN_REG = 1'b0,
    parameter BSIGN_REG = 1'b0,
    parameter SOA_REG = 1'b0,
    parameter MULT_RESET_MODE = "SYNC"
) (
    input CLK, input CE, input RESET,
    input [8:0] A, input [8:0] SIA, input ASIGN, input ASEL,
    input [8:0] B, input [8:0] SIB, input BSIGN, input BSEL,
    output [17:0] DOUT, output [8:0] SOA, output [8:0] SOB
);
    reg signed [8:0] a, b;
    reg signed [17:0] p;
    assign DOUT = p;

    always @(posedge CLK) begin
        if (!CE || RESET || !ASIGN || !BSIGN || ASEL || BSEL) begin
            $display("MULT9X9: this use is not modelled");
            $finish;
        end
        a <= A;
        b <= B;
        p <= a * b;
    end

    initial begin
        if (!AREG || !BREG || !OUT_REG || PIPE_REG || ASIGN_REG || BSIGN_REG) begin
            $display("MULT9X9: these registers are not modelled");
            $finish;
        end
    end
endmodule
