// ECP5's block RAM as Yosys uses it: port A reads and writes, port B reads, each with a width of
// its own; no register behind the RAM, no reset. Yosys has no model of it. Any other use stops the
// simulation.
//
// It has 2048 cells of 9 bits. A port of 9 bits or less sees one cell, or 4, 2 or 1 of the lower
// 8 bits in it. One of 18 or 36 bits sees 2 or 4 cells; its lowest address bits enable the writing
// of each. Words of 36 bits are written on DIB and DIA, and read on DOB and DOA.
//
// What B reads while A writes it is undefined on the chip. Here it is the old content with all bits
// flipped, so that a design that uses it is found.
`timescale 1ns / 1ps
module DP16KD #(
    parameter DATA_WIDTH_A = 18,
    parameter DATA_WIDTH_B = 18,
    parameter REGMODE_A = "NOREG",
    parameter REGMODE_B = "NOREG",
    parameter RESETMODE = "SYNC",
    parameter ASYNC_RESET_RELEASE = "SYNC",
    parameter CSDECODE_A = "0b000",
    parameter CSDECODE_B = "0b000",
    parameter WRITEMODE_A = "NORMAL",
    parameter WRITEMODE_B = "NORMAL",
    parameter CLKAMUX = "CLKA",
    parameter CLKBMUX = "CLKB",
    parameter GSR = "ENABLED",
    parameter [319:0]
        INITVAL_00 = 0, INITVAL_01 = 0, INITVAL_02 = 0, INITVAL_03 = 0,
        INITVAL_04 = 0, INITVAL_05 = 0, INITVAL_06 = 0, INITVAL_07 = 0,
        INITVAL_08 = 0, INITVAL_09 = 0, INITVAL_0A = 0, INITVAL_0B = 0,
        INITVAL_0C = 0, INITVAL_0D = 0, INITVAL_0E = 0, INITVAL_0F = 0,
        INITVAL_10 = 0, INITVAL_11 = 0, INITVAL_12 = 0, INITVAL_13 = 0,
        INITVAL_14 = 0, INITVAL_15 = 0, INITVAL_16 = 0, INITVAL_17 = 0,
        INITVAL_18 = 0, INITVAL_19 = 0, INITVAL_1A = 0, INITVAL_1B = 0,
        INITVAL_1C = 0, INITVAL_1D = 0, INITVAL_1E = 0, INITVAL_1F = 0,
        INITVAL_20 = 0, INITVAL_21 = 0, INITVAL_22 = 0, INITVAL_23 = 0,
        INITVAL_24 = 0, INITVAL_25 = 0, INITVAL_26 = 0, INITVAL_27 = 0,
        INITVAL_28 = 0, INITVAL_29 = 0, INITVAL_2A = 0, INITVAL_2B = 0,
        INITVAL_2C = 0, INITVAL_2D = 0, INITVAL_2E = 0, INITVAL_2F = 0,
        INITVAL_30 = 0, INITVAL_31 = 0, INITVAL_32 = 0, INITVAL_33 = 0,
        INITVAL_34 = 0, INITVAL_35 = 0, INITVAL_36 = 0, INITVAL_37 = 0,
        INITVAL_38 = 0, INITVAL_39 = 0, INITVAL_3A = 0, INITVAL_3B = 0,
        INITVAL_3C = 0, INITVAL_3D = 0, INITVAL_3E = 0, INITVAL_3F = 0
) (
    input CLKA, CEA, OCEA, WEA, RSTA, CSA0, CSA1, CSA2,
    input
        ADA0, ADA1, ADA2, ADA3, ADA4, ADA5, ADA6, ADA7, ADA8, ADA9, ADA10, ADA11, ADA12, ADA13,
    input
        DIA0, DIA1, DIA2, DIA3, DIA4, DIA5, DIA6, DIA7, DIA8,
        DIA9, DIA10, DIA11, DIA12, DIA13, DIA14, DIA15, DIA16, DIA17,
    output
        DOA0, DOA1, DOA2, DOA3, DOA4, DOA5, DOA6, DOA7, DOA8,
        DOA9, DOA10, DOA11, DOA12, DOA13, DOA14, DOA15, DOA16, DOA17,
    input CLKB, CEB, OCEB, WEB, RSTB, CSB0, CSB1, CSB2,
    input
        ADB0, ADB1, ADB2, ADB3, ADB4, ADB5, ADB6, ADB7, ADB8, ADB9, ADB10, ADB11, ADB12, ADB13,
    input
        DIB0, DIB1, DIB2, DIB3, DIB4, DIB5, DIB6, DIB7, DIB8,
        DIB9, DIB10, DIB11, DIB12, DIB13, DIB14, DIB15, DIB16, DIB17,
    output
        DOB0, DOB1, DOB2, DOB3, DOB4, DOB5, DOB6, DOB7, DOB8,
        DOB9, DOB10, DOB11, DOB12, DOB13, DOB14, DOB15, DOB16, DOB17
);
    localparam CELLS_A = DATA_WIDTH_A == 36 ? 4 : DATA_WIDTH_A == 18 ? 2 : 1;
    localparam CELLS_B = DATA_WIDTH_B == 36 ? 4 : DATA_WIDTH_B == 18 ? 2 : 1;
    localparam [8:0] MASK_A = DATA_WIDTH_A < 9 ? (1 << DATA_WIDTH_A) - 1 : 9'h1FF;
    localparam [8:0] MASK_B = DATA_WIDTH_B < 9 ? (1 << DATA_WIDTH_B) - 1 : 9'h1FF;

    wire [13:0] address_a = {
        ADA13, ADA12, ADA11, ADA10, ADA9, ADA8, ADA7, ADA6, ADA5, ADA4, ADA3, ADA2, ADA1, ADA0
    };
    wire [13:0] address_b = {
        ADB13, ADB12, ADB11, ADB10, ADB9, ADB8, ADB7, ADB6, ADB5, ADB4, ADB3, ADB2, ADB1, ADB0
    };
    wire [35:0] written = {
        DIB17, DIB16, DIB15, DIB14, DIB13, DIB12, DIB11, DIB10, DIB9,
        DIB8, DIB7, DIB6, DIB5, DIB4, DIB3, DIB2, DIB1, DIB0,
        DIA17, DIA16, DIA15, DIA14, DIA13, DIA12, DIA11, DIA10, DIA9,
        DIA8, DIA7, DIA6, DIA5, DIA4, DIA3, DIA2, DIA1, DIA0
    };
    reg [64*320-1:0] contents;
    reg [8:0] store [0:2047];
    reg [35:0] word_a = 0, word_b = 0;
    integer row, a, b;

    assign {
        DOA17, DOA16, DOA15, DOA14, DOA13, DOA12, DOA11, DOA10, DOA9,
        DOA8, DOA7, DOA6, DOA5, DOA4, DOA3, DOA2, DOA1, DOA0
    } = DATA_WIDTH_B == 36 ? word_b[17:0] : word_a[17:0];
    assign {
        DOB17, DOB16, DOB15, DOB14, DOB13, DOB12, DOB11, DOB10, DOB9,
        DOB8, DOB7, DOB6, DOB5, DOB4, DOB3, DOB2, DOB1, DOB0
    } = DATA_WIDTH_B == 36 ? word_b[35:18] : word_b[17:0];

    // The first cell of the word, and the first bit in it.
    wire [10:0] cell_a = address_a[13:3] & -CELLS_A;
    wire [10:0] cell_b = address_b[13:3] & -CELLS_B;
    wire [2:0] bit_a = DATA_WIDTH_A < 9 ? address_a[2:0] & -DATA_WIDTH_A : 0;
    wire [2:0] bit_b = DATA_WIDTH_B < 9 ? address_b[2:0] & -DATA_WIDTH_B : 0;
    wire [3:0] enable = CELLS_A == 1 ? 1 : address_a[3:0];

    // A word of an INITVAL is two cells, and 2 bits that stand for nothing.
    initial begin
        contents = {
            INITVAL_3F, INITVAL_3E, INITVAL_3D, INITVAL_3C, INITVAL_3B, INITVAL_3A, INITVAL_39,
            INITVAL_38, INITVAL_37, INITVAL_36, INITVAL_35, INITVAL_34, INITVAL_33, INITVAL_32,
            INITVAL_31, INITVAL_30, INITVAL_2F, INITVAL_2E, INITVAL_2D, INITVAL_2C, INITVAL_2B,
            INITVAL_2A, INITVAL_29, INITVAL_28, INITVAL_27, INITVAL_26, INITVAL_25, INITVAL_24,
            INITVAL_23, INITVAL_22, INITVAL_21, INITVAL_20, INITVAL_1F, INITVAL_1E, INITVAL_1D,
            INITVAL_1C, INITVAL_1B, INITVAL_1A, INITVAL_19, INITVAL_18, INITVAL_17, INITVAL_16,
            INITVAL_15, INITVAL_14, INITVAL_13, INITVAL_12, INITVAL_11, INITVAL_10, INITVAL_0F,
            INITVAL_0E, INITVAL_0D, INITVAL_0C, INITVAL_0B, INITVAL_0A, INITVAL_09, INITVAL_08,
            INITVAL_07, INITVAL_06, INITVAL_05, INITVAL_04, INITVAL_03, INITVAL_02, INITVAL_01,
            INITVAL_00
        };
        for (row = 0; row < 1024; row = row + 1) begin
            store[2*row] = contents[20*row +: 9];
            store[2*row+1] = contents[20*row+9 +: 9];
        end
    end

    function is_written(input [10:0] index);
        is_written = CEA && WEA && (index & -CELLS_A) == cell_a && enable[index & (CELLS_A - 1)];
    endfunction

    always @(posedge CLKA)
        if (CEA)
            for (a = 0; a < CELLS_A; a = a + 1) begin
                if (WEA && enable[a])
                    store[cell_a+a] <= store[cell_a+a] & ~(MASK_A << bit_a)
                        | (written[9*a +: 9] & MASK_A) << bit_a;
                if (!WEA || WRITEMODE_A == "READBEFOREWRITE")
                    word_a[9*a +: 9] <= store[cell_a+a] >> bit_a & MASK_A;
            end

    always @(posedge CLKB)
        if (CEB)
            for (b = 0; b < CELLS_B; b = b + 1)
                word_b[9*b +: 9] <=
                    (store[cell_b+b] ^ {9{is_written(cell_b+b)}}) >> bit_b & MASK_B;

    always @(posedge CLKA or posedge CLKB)
        if (WEB && CEB || RSTA || RSTB || CSA0 || CSA1 || CSA2 || CSB0 || CSB1 || CSB2) begin
            $display("DP16KD: this use is not modelled");
            $finish;
        end

    initial
        if (REGMODE_A != "NOREG" || REGMODE_B != "NOREG" || WRITEMODE_A == "WRITETHROUGH"
            || CLKAMUX != "CLKA" || CLKBMUX != "CLKB"
            || CSDECODE_A != "0b000" || CSDECODE_B != "0b000") begin
            $display("DP16KD: these settings are not modelled");
            $finish;
        end
endmodule
