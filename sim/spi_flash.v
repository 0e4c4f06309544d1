// An SPI flash in mode 0 with the two commands that the flash loader uses: 0xAB wakes it from deep
// power-down, in which it starts, and 0x03 with a 24-bit address reads on and on. It drives `miso`
// only while it answers a read.
//
// File in the working folder:
//   flash.bin     BYTES bytes, from address OFFSET on; everything else is erased (0xFF)
`timescale 1ns / 1ps
`default_nettype none

module spi_flash #(
    parameter BYTES = 1,
    parameter OFFSET = 24'h100000,
    parameter WAKE_NS = 30000  // from the end of the command to the first that is understood
) (
    input wire cs_n,
    input wire sck,
    input wire mosi,
    output wire miso
);
    localparam WAKE = 8'hAB, READ = 8'h03;

    reg [7:0] content [0:BYTES-1];
    reg asleep = 1;
    reg ignored = 1;          // it was not awake when this command began
    reg selected = 0;
    reg high = 0;             // sck, as it was before
    reg driving = 0;
    reg answer = 0;
    reg [7:0] command = 0;
    reg [23:0] address = 0;   // of the byte that is sent
    reg [5:0] count = 0;      // bits of the command and its address; then 32 + bits of the byte
    reg [63:0] awake_at = 0;
    integer file, bytes_read, index;

    assign miso = driving ? answer : 1'bz;

    initial begin
        file = $fopen("flash.bin", "rb");
        bytes_read = $fread(content, file);
        $fclose(file);
    end

    task select;
        begin
            selected = 1;
            ignored = asleep || $time < awake_at;
            count = 0;
        end
    endtask

    task deselect;
        begin
            if (selected && asleep && count == 8 && command == WAKE) begin
                asleep = 0;
                awake_at = $time + WAKE_NS;
            end
            selected = 0;
            driving = 0;
        end
    endtask

    task take_bit;
        if (count < 32) begin
            if (count < 8) command = {command[6:0], mosi};
            else address = {address[22:0], mosi};
            count = count + 1;
        end
    endtask

    task send_bit;
        if (count >= 32 && command == READ && !ignored) begin
            index = address - OFFSET;
            driving = 1;
            answer = index < 0 || index >= BYTES ? 1'b1 : content[index][39 - count];
            count = count == 39 ? 32 : count + 1;
            if (count == 32) address = address + 1;
        end
    endtask

    always @(posedge sck or negedge sck or posedge cs_n or negedge cs_n) begin
        if (cs_n) deselect;
        else if (!selected) select;
        else if (sck && !high) take_bit;
        else if (!sck && high) send_bit;
        high = sck;
    end
endmodule

`default_nettype wire
