// Bus model around shiftwork_core, shared by every HDL simulator.
//
// It streams the bytes of `frames` frames into the core and takes its output, stalling both sides at
// random; it compares every byte that the core writes into its activation memory with the expected
// image of the layer, at once; and it counts the cycles of each frame. The testbench (testbench.py)
// only sets the parameters, raises `start`, waits for `done` and reads the counters, so a simulator
// runs at its own speed.
//
// With SHIFTWORK_TRACE defined the core has the trace ports, which show what it writes; without them,
// as in a netlist, nothing but the streams and the cycles is checked.
//
// With SHIFTWORK_FLASH defined the core has the ports of a flash loader, and a flash (spi_flash.v) that
// sleeps at first: everything begins with power-up.
//
// Files in the working folder:
//   layers.hex    five 32-bit words a layer: its first byte in the image; bytes from there to the end
//                 of its tensor; channels of the tensor; channels of the layer; bytes of the layer
//   input.bin     INPUT_BYTES a frame
//   expected.bin  IMAGE_BYTES a frame: what is stored of every layer's output, layer by layer
//   flash.bin     with SHIFTWORK_FLASH: FLASH_BYTES bytes of the flash from FLASH_OFFSET on
//   output.hex    written: one byte of the output stream a line
`timescale 1ns / 1ps
`default_nettype none

module shiftwork_bench #(
    parameter WORD_BYTES = 1,
    parameter LAYERS = 1,  // 0 without trace ports
    parameter INPUT_BYTES = 1,
    parameter OUTPUT_BYTES = 1,
    parameter IMAGE_BYTES = 1,
    parameter FLASH_BYTES = 1,
    parameter FLASH_OFFSET = 24'h100000
);
    localparam RESET_CYCLES = 4;
    localparam CLOCK_NS = 10;
    localparam WAKE_CYCLES = 1500;  // of the flash: 30 us at 50 MHz
    localparam LAYER_WORDS = 5;     // of layers.hex: BASE, REACH, ...
    localparam BASE = 0, REACH = 1, PITCH = 2, CHANNELS = 3, BYTES = 4;
    localparam LINGER_CYCLES = 64;  // after the last byte, to catch what should not come any more

    // What a difference is, as in observation.py. 0 stands for none.
    localparam WRONG_VALUE = 1, WRITTEN_TWICE = 2, NEVER_WRITTEN = 3, OUTSIDE = 4, UNSTABLE = 5,
               EXTRA_FRAME = 6;

    // What the testbench can see: settings, which it writes before it raises start, ...
    /* verilator public_flat_rw_on */
    reg start = 0;
    reg [31:0] frames = 0;
    reg [31:0] seed = 1;            // of the random stalls; not 0
    reg [7:0] i_stall = 0;          // probability in 1/256 that a cycle offers no input byte
    reg [7:0] o_stall = 0;          // probability in 1/256 that a cycle takes no output byte
    reg [31:0] patience = 100000;   // cycles without progress after which the core counts as hung

    // ... and results, which it reads after done.
    reg done = 0;
    reg hung = 0;
    reg [1:0] status = 0;           // of the flash loader; not 0 if it refused the image
    reg [31:0] clock_cycles = 0;
    reg [31:0] input_count = 0;     // bytes the core has accepted
    reg [31:0] output_count = 0;    // bytes the core has sent
    reg [31:0] frames_started = 0;
    reg [31:0] frames_finished = 0;
    reg [31:0] cycles_min = 32'hFFFFFFFF;
    reg [31:0] cycles_max = 0;
    reg [31:0] mismatches = 0;
    reg [31:0] first_kind = 0;
    reg [31:0] first_frame = 0;
    reg [31:0] first_layer = 0;
    reg [31:0] first_offset = 0;
    reg [7:0] first_expected = 0;
    reg [7:0] first_got = 0;
    reg [31:0] layer_mismatches [0:LAYERS-1];
    /* verilator public_off */

    reg clk = 0;
    reg rst = 1;
    reg [7:0] i_payload = 0;
    reg i_valid = 0;
    wire i_ready;
    wire [7:0] o_payload;
    wire o_valid;
    reg o_ready = 0;
    wire busy;
    wire trace_valid;
    wire [7:0] trace_layer;
    wire [23:0] trace_offset;
    wire [8*WORD_BYTES-1:0] trace_data;
    wire [WORD_BYTES-1:0] trace_mask;
    wire flash_cs_n;
    wire [1:0] loader_status;

    always #(CLOCK_NS / 2) clk = !clk;

`ifdef SHIFTWORK_FLASH
    wire flash_sck;
    wire flash_mosi;
    tri1 flash_miso;  // the line is pulled up

    spi_flash #(
        .BYTES(FLASH_BYTES),
        .OFFSET(FLASH_OFFSET),
        .WAKE_NS(WAKE_CYCLES * CLOCK_NS)
    ) flash (
        .cs_n(flash_cs_n),
        .sck(flash_sck),
        .mosi(flash_mosi),
        .miso(flash_miso)
    );
`else
    assign flash_cs_n = 1;
    assign loader_status = 0;
`endif

`ifndef SHIFTWORK_TRACE
    assign trace_valid = 0;
`endif

    shiftwork_core core (
`ifdef SHIFTWORK_TRACE
        .trace_valid(trace_valid),
        .trace_layer(trace_layer),
        .trace_offset(trace_offset),
        .trace_data(trace_data),
        .trace_mask(trace_mask),
`endif
`ifdef SHIFTWORK_FLASH
        .flash_cs_n(flash_cs_n),
        .flash_sck(flash_sck),
        .flash_mosi(flash_mosi),
        .flash_miso(flash_miso),
        .status(loader_status),
`endif
        .clk(clk),
        .rst(rst),
        .i_payload(i_payload),
        .i_valid(i_valid),
        .i_ready(i_ready),
        .o_payload(o_payload),
        .o_valid(o_valid),
        .o_ready(o_ready),
        .busy(busy)
    );

    reg [31:0] layers [0:LAYER_WORDS*LAYERS-1];
    reg [7:0] input_frame [0:INPUT_BYTES-1];
    reg [7:0] image [0:IMAGE_BYTES-1];
    reg [31:0] writer [0:IMAGE_BYTES-1];  // frame (from 1) in which the byte was last written
    reg [31:0] written [0:LAYERS-1];      // different bytes written in this frame
    integer input_file, image_file, output_file, bytes_read;
    integer layer, lane;
    reg [31:0] position;

    reg [31:0] random;
    reg [31:0] reset_count = 0;
    reg [31:0] frames_sent = 0;           // frames whose last byte has been offered
    reg [31:0] input_position = INPUT_BYTES;
    reg [31:0] frame_cycles = 0;
    reg [31:0] idle_cycles = 0;           // since the last progress
    reg [31:0] linger = 0;
    reg was_busy = 0;
    reg was_waiting = 0;
    reg [7:0] waiting_payload = 0;

    initial begin
        $readmemh("layers.hex", layers);
        for (layer = 0; layer < LAYERS; layer = layer + 1) begin
            layer_mismatches[layer] = 0;
            written[layer] = 0;
        end
        for (position = 0; position < IMAGE_BYTES; position = position + 1) writer[position] = 0;
        input_file = $fopen("input.bin", "rb");
        image_file = $fopen("expected.bin", "rb");
        output_file = $fopen("output.hex", "w");
    end

    task report(input [31:0] kind, input [31:0] in_layer, input [31:0] offset, input [7:0] expected,
                input [7:0] got);
        begin
            if (mismatches == 0) begin
                first_kind = kind;
                first_frame = frames_started - 1;
                first_layer = in_layer;
                first_offset = offset;
                first_expected = expected;
                first_got = got;
            end
            mismatches = mismatches + 1;
            if (in_layer < LAYERS) layer_mismatches[in_layer] = layer_mismatches[in_layer] + 1;
        end
    endtask

    // A pass over some channels of an op's output leaves those of others alone.
    function owns(input [31:0] in_layer, input [31:0] offset);
        owns = offset < layers[LAYER_WORDS*in_layer+REACH]
            && offset % layers[LAYER_WORDS*in_layer+PITCH] < layers[LAYER_WORDS*in_layer+CHANNELS];
    endfunction

    // The conditions are written so that an unknown (X) of the core counts as a difference.
    task check_byte(input [31:0] offset, input [7:0] got);
        begin
            if (frames_started != 0 && trace_layer < LAYERS && owns(trace_layer, offset)) begin
                position = layers[LAYER_WORDS*trace_layer+BASE] + offset;
                if (writer[position] == frames_started)
                    report(WRITTEN_TWICE, trace_layer, offset, image[position], got);
                else begin
                    writer[position] = frames_started;
                    written[trace_layer] = written[trace_layer] + 1;
                    if (got !== image[position])
                        report(WRONG_VALUE, trace_layer, offset, image[position], got);
                end
            end else report(OUTSIDE, trace_layer, offset, 0, got);
        end
    endtask

    task check_write;
        for (lane = 0; lane < WORD_BYTES; lane = lane + 1)
            if (trace_mask[lane] !== 1'b0)
                check_byte({8'h00, trace_offset} + lane, trace_data[8*lane +: 8]);
    endtask

    task check_all_written;
        for (layer = 0; layer < LAYERS; layer = layer + 1) begin
            if (written[layer] != layers[LAYER_WORDS*layer+BYTES])
                for (lane = 0; lane < layers[LAYER_WORDS*layer+REACH]; lane = lane + 1) begin
                    position = layers[LAYER_WORDS*layer+BASE] + lane;
                    if (owns(layer, lane) && writer[position] != frames_started)
                        report(NEVER_WRITTEN, layer, lane, image[position], 0);
                end
            written[layer] = 0;
        end
    endtask

    task start_frame;
        begin
            if (frames_started != 0) check_all_written;
            frames_started = frames_started + 1;
            frame_cycles = 0;
            if (frames_started > frames) report(EXTRA_FRAME, LAYERS, 0, 0, 0);
            else bytes_read = $fread(image, image_file);
        end
    endtask

    task finish_frame;
        begin
            frames_finished = frames_finished + 1;
            if (frame_cycles < cycles_min) cycles_min = frame_cycles;
            if (frame_cycles > cycles_max) cycles_max = frame_cycles;
        end
    endtask

    // A byte that is offered stays until it is taken; between bytes there are random gaps.
    task drive_input;
        if (!i_valid || i_ready) begin
            if (input_position == INPUT_BYTES && frames_sent < frames) begin
                bytes_read = $fread(input_frame, input_file);
                frames_sent = frames_sent + 1;
                input_position = 0;
            end
            if (input_position < INPUT_BYTES && random[7:0] >= i_stall) begin
                i_valid <= 1;
                i_payload <= input_frame[input_position];
                input_position = input_position + 1;
            end else i_valid <= 0;
        end
    endtask

    // An output byte that is offered has to stay as it is until it is taken.
    task take_output;
        begin
            if (was_waiting && !(o_valid === 1'b1 && o_payload === waiting_payload))
                report(UNSTABLE, LAYERS, output_count, waiting_payload, o_payload);
            was_waiting = o_valid && !o_ready;
            waiting_payload = o_payload;
            if (o_valid && o_ready) begin
                $fwrite(output_file, "%h\n", o_payload);
                output_count = output_count + 1;
            end
            o_ready <= random[23:16] >= o_stall;
        end
    endtask

    task stop;
        begin
            if (frames_started != 0 && !hung) check_all_written;
            $fclose(output_file);
            done = 1;
        end
    endtask

    task watch_progress;
        begin
            if (i_valid && i_ready || o_valid && o_ready || busy != was_busy || !flash_cs_n)
                idle_cycles = 0;
            else idle_cycles = idle_cycles + 1;
            if (frames_finished >= frames && output_count >= frames * OUTPUT_BYTES)
                linger = linger + 1;
            status = loader_status;
            hung = idle_cycles > patience || output_count > (frames + 1) * OUTPUT_BYTES
                || status !== 0;
            if (hung || linger == LINGER_CYCLES || frames_started > frames) stop;
        end
    endtask

    task step_random;
        begin
            random = random ^ (random << 13);
            random = random ^ (random >> 17);
            random = random ^ (random << 5);
        end
    endtask

    always @(posedge clk)
        if (start && !done) begin
            if (reset_count < RESET_CYCLES) begin
                reset_count = reset_count + 1;
                random = seed;
                rst <= reset_count < RESET_CYCLES;
            end else if (!rst) begin
                clock_cycles = clock_cycles + 1;
                step_random;
                if (busy && !was_busy) start_frame;
                if (trace_valid !== 1'b0) check_write;
                if (i_valid && i_ready) input_count = input_count + 1;
                drive_input;
                take_output;
                if (busy) frame_cycles = frame_cycles + 1;
                else if (was_busy) finish_frame;
                watch_progress;
                was_busy = busy;
            end
        end
endmodule

`default_nettype wire
