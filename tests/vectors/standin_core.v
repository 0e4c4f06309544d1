// A stand-in for the generated core, to test the bench itself: a behavioural network of two
// layers with faults that can be switched on (+fault=N; see tests/test_sim_bench.py).
//
//   layer 0: 16 uint8 -> 16 uint8,  y = clip((3 * x - 5 + 1) >> 1, 0, 255), stored with the top bit flipped
//   layer 1: 16 uint8 -> 3 int32,   acc[n] = 100 * n - 50 + sum((i + n - 8) * $signed({1'b0, y[i]})), in four byte planes
`timescale 1ns / 1ps

module shiftwork_core (
    input             clk,
    input             rst,
    input      [7:0]  i_payload,
    input             i_valid,
    output            i_ready,
    output     [7:0]  o_payload,
    output            o_valid,
    input             o_ready,
    output            busy,
    output reg        trace_valid,
    output reg [7:0]  trace_layer,
    output reg [23:0] trace_offset,
    output reg [31:0] trace_data,
    output reg [3:0]  trace_mask
);
    localparam CYCLES = 32;
    localparam WRONG_VALUE = 1, NEVER = 2, TWICE = 3, WRONG_OUTPUT = 4, EXTRA_CYCLE = 5, HANG = 6,
               OUTSIDE = 7, UNSTABLE = 8, EXTRA_OUTPUT = 9, NO_SUCH_LAYER = 10, MISSING_OUTPUT = 11;

    integer fault;
    initial if (!$value$plusargs("fault=%d", fault)) fault = 0;

    reg [7:0] waiting [0:15];
    reg [7:0] x [0:15];
    reg [7:0] y [0:15];
    reg [31:0] acc [0:2];
    reg [7:0] result [0:15];
    reg [4:0] filled;
    reg [7:0] step;
    reg [4:0] sent;
    reg [4:0] to_send;
    reg [31:0] frame;
    integer i, n, value;

    assign i_ready = filled < 16;
    assign busy = step != 0;
    assign o_valid = sent < to_send;
    assign o_payload = result[sent[3:0]] ^ (fault == UNSTABLE && o_valid && !o_ready ? noise : 8'h00);

    reg [7:0] noise;
    always @(posedge clk) noise <= rst ? 8'h00 : noise + 8'h01;

    task write(input [7:0] layer, input [23:0] offset, input [31:0] data, input [3:0] mask);
        begin
            trace_valid <= 1;
            trace_layer <= layer;
            trace_offset <= offset;
            trace_data <= data;
            trace_mask <= mask;
        end
    endtask

    task compute;
        begin
            for (i = 0; i < 16; i = i + 1) begin
                value = (3 * $signed({1'b0, x[i]}) - 4) >>> 1;
                y[i] = value < 0 ? 0 : value > 255 ? 255 : value;
            end
            for (n = 0; n < 3; n = n + 1) begin
                acc[n] = 100 * n - 50;
                for (i = 0; i < 16; i = i + 1) acc[n] = acc[n] + (i + n - 8) * $signed({1'b0, y[i]});
            end
        end
    endtask

    // Layer 0 in words of four bytes in steps 2, 4, 6, 8, so that a byte can be left out or repeated.
    task write_pixels(input integer word);
        reg [31:0] data;
        reg [3:0] mask;
        begin
            data = {y[4 * word + 3], y[4 * word + 2], y[4 * word + 1], y[4 * word]} ^ 32'h80808080;
            mask = 4'hF;
            if (word == 1 && frame == 2) begin
                if (fault == WRONG_VALUE) data = data ^ 32'h00000100;
                if (fault == NEVER) mask = 4'b1101;
            end
            write(fault == NO_SUCH_LAYER && word == 1 ? 2 : 0, 4 * word, data, mask);
        end
    endtask

    // Layer 1: one byte plane (3 elements) a step.
    task write_sums(input integer plane);
        begin
            write(1, 3 * plane, {8'hxx, acc[2][8 * plane +: 8], acc[1][8 * plane +: 8], acc[0][8 * plane +: 8]},
                  fault == OUTSIDE && plane == 3 ? 4'hF : 4'h7);
        end
    endtask

    task publish;
        begin
            for (n = 0; n < 12; n = n + 1) result[n] <= acc[n / 4][8 * (n % 4) +: 8];
            result[12] <= 8'h55;
            if (fault == WRONG_OUTPUT && frame == 1) result[6] <= acc[1][23:16] ^ 8'h40;
            sent <= 0;
            to_send <= fault == EXTRA_OUTPUT ? 13 : fault == MISSING_OUTPUT ? 11 : 12;
        end
    endtask

    always @(posedge clk) begin
        trace_valid <= 0;
        if (i_valid && i_ready) begin
            waiting[filled[3:0]] <= i_payload;
            filled <= filled + 1;
        end
        if (o_valid && o_ready) sent <= sent + 1;
        if (step == 0) begin
            // The last frame's output must have left before the next one is published.
            if (filled == 16 && !o_valid) begin
                for (i = 0; i < 16; i = i + 1) x[i] <= waiting[i];
                filled <= 0;
                step <= 1;
            end
        end else begin
            step <= step + 1;
            if (step == 1) compute;
            if (step == 2 || step == 4 || step == 6 || step == 8) write_pixels(step / 2 - 1);
            if (step == 9 && fault == TWICE) write_pixels(2);
            if (step >= 10 && step < 14) write_sums(step - 10);
            if (step == CYCLES && (fault != EXTRA_CYCLE || frame != 1)
                || step == CYCLES + 1) begin
                step <= 0;
                frame <= frame + 1;
                publish;
            end
            if (fault == HANG && frame == 1) step <= step;
        end
        if (rst) begin
            filled <= 0;
            step <= 0;
            sent <= 0;
            to_send <= 0;
            frame <= 0;
        end
    end
endmodule
