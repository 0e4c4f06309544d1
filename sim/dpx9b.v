// Gowin's block RAM with two ports, as far as Shiftwork uses it: port A writes, port B reads, both
// with words of 9 bits, on one clock and with no register behind them. Yosys has no model of it. Any
// other use stops the simulation.
//
// What B reads while A writes it is undefined on the chip. Here it is the old content with all bits
// flipped, so that a design that uses it is found. What A reads is not modelled: zeros.
`timescale 1ns / 1ps
module DPX9B #(
    parameter [287:0]
        INIT_RAM_00 = 0, INIT_RAM_01 = 0, INIT_RAM_02 = 0, INIT_RAM_03 = 0,
        INIT_RAM_04 = 0, INIT_RAM_05 = 0, INIT_RAM_06 = 0, INIT_RAM_07 = 0,
        INIT_RAM_08 = 0, INIT_RAM_09 = 0, INIT_RAM_0A = 0, INIT_RAM_0B = 0,
        INIT_RAM_0C = 0, INIT_RAM_0D = 0, INIT_RAM_0E = 0, INIT_RAM_0F = 0,
        INIT_RAM_10 = 0, INIT_RAM_11 = 0, INIT_RAM_12 = 0, INIT_RAM_13 = 0,
        INIT_RAM_14 = 0, INIT_RAM_15 = 0, INIT_RAM_16 = 0, INIT_RAM_17 = 0,
        INIT_RAM_18 = 0, INIT_RAM_19 = 0, INIT_RAM_1A = 0, INIT_RAM_1B = 0,
        INIT_RAM_1C = 0, INIT_RAM_1D = 0, INIT_RAM_1E = 0, INIT_RAM_1F = 0,
        INIT_RAM_20 = 0, INIT_RAM_21 = 0, INIT_RAM_22 = 0, INIT_RAM_23 = 0,
        INIT_RAM_24 = 0, INIT_RAM_25 = 0, INIT_RAM_26 = 0, INIT_RAM_27 = 0,
        INIT_RAM_28 = 0, INIT_RAM_29 = 0, INIT_RAM_2A = 0, INIT_RAM_2B = 0,
        INIT_RAM_2C = 0, INIT_RAM_2D = 0, INIT_RAM_2E = 0, INIT_RAM_2F = 0,
        INIT_RAM_30 = 0, INIT_RAM_31 = 0, INIT_RAM_32 = 0, INIT_RAM_33 = 0,
        INIT_RAM_34 = 0, INIT_RAM_35 = 0, INIT_RAM_36 = 0, INIT_RAM_37 = 0,
        INIT_RAM_38 = 0, INIT_RAM_39 = 0, INIT_RAM_3A = 0, INIT_RAM_3B = 0,
        INIT_RAM_3C = 0, INIT_RAM_3D = 0, INIT_RAM_3E = 0, INIT_RAM_3F = 0,
    parameter READ_MODE0 = 1'b0,
    parameter READ_MODE1 = 1'b0,
    parameter [1:0] WRITE_MODE0 = 2'b00,
    parameter [1:0] WRITE_MODE1 = 2'b00,
    parameter BIT_WIDTH_0 = 9,
    parameter BIT_WIDTH_1 = 9,
    parameter BLK_SEL_0 = 3'b000,
    parameter BLK_SEL_1 = 3'b000,
    parameter RESET_MODE = "SYNC"
) (
    input CLKA, input CEA, input OCEA, input RESETA, input WREA,
    input [13:0] ADA, input [2:0] BLKSELA, input [17:0] DIA, output [17:0] DOA,
    input CLKB, input CEB, input OCEB, input RESETB, input WREB,
    input [13:0] ADB, input [2:0] BLKSELB, input [17:0] DIB, output [17:0] DOB
);
    localparam WIDTH = BIT_WIDTH_0;
    localparam SHIFT = $clog2(WIDTH < 9 ? WIDTH : 8);
    localparam WORDS = 16384 >> SHIFT;
    localparam [18431:0] CONTENTS = {
        INIT_RAM_3F, INIT_RAM_3E, INIT_RAM_3D, INIT_RAM_3C, INIT_RAM_3B, INIT_RAM_3A,
        INIT_RAM_39, INIT_RAM_38, INIT_RAM_37, INIT_RAM_36, INIT_RAM_35, INIT_RAM_34,
        INIT_RAM_33, INIT_RAM_32, INIT_RAM_31, INIT_RAM_30, INIT_RAM_2F, INIT_RAM_2E,
        INIT_RAM_2D, INIT_RAM_2C, INIT_RAM_2B, INIT_RAM_2A, INIT_RAM_29, INIT_RAM_28,
        INIT_RAM_27, INIT_RAM_26, INIT_RAM_25, INIT_RAM_24, INIT_RAM_23, INIT_RAM_22,
        INIT_RAM_21, INIT_RAM_20, INIT_RAM_1F, INIT_RAM_1E, INIT_RAM_1D, INIT_RAM_1C,
        INIT_RAM_1B, INIT_RAM_1A, INIT_RAM_19, INIT_RAM_18, INIT_RAM_17, INIT_RAM_16,
        INIT_RAM_15, INIT_RAM_14, INIT_RAM_13, INIT_RAM_12, INIT_RAM_11, INIT_RAM_10,
        INIT_RAM_0F, INIT_RAM_0E, INIT_RAM_0D, INIT_RAM_0C, INIT_RAM_0B, INIT_RAM_0A,
        INIT_RAM_09, INIT_RAM_08, INIT_RAM_07, INIT_RAM_06, INIT_RAM_05, INIT_RAM_04,
        INIT_RAM_03, INIT_RAM_02, INIT_RAM_01, INIT_RAM_00
    };
    reg [WIDTH-1:0] words [0:WORDS-1];
    reg [WIDTH-1:0] out;
    wire [13:0] to_write = ADA >> SHIFT;
    wire [13:0] to_read = ADB >> SHIFT;
    assign DOA = 0;
    assign DOB = out;

    always @(posedge CLKA) begin
        if (RESETA || RESETB || WREB || BLKSELA != 0 || BLKSELB != 0) begin
            $display("DPX9B: this use is not modelled");
            $finish;
        end
        if (CEA && WREA) words[to_write] <= DIA[WIDTH-1:0];
    end

    always @(posedge CLKB)
        if (CEB)
            out <= CEA && WREA && to_write == to_read ? ~words[to_read] : words[to_read];

    integer index;
    initial begin
        for (index = 0; index < WORDS; index = index + 1)
            words[index] = CONTENTS[WIDTH * index +: WIDTH];
        if (READ_MODE0 != 0 || READ_MODE1 != 0 || BLK_SEL_0 != 0 || BLK_SEL_1 != 0
            || BIT_WIDTH_1 != WIDTH || WIDTH != 9) begin
            $display("DPX9B: this setting is not modelled");
            $finish;
        end
    end
endmodule
