// A board with the host shell: what link_bridge.cpp clocks, and talks to over rx and tx.
//
// With SHIFTWORK_FLASH defined there is a flash (spi_flash.v), with flash.bin of the working folder.
`timescale 1ns / 1ps
`default_nettype none

module shiftwork_link #(
    parameter FLASH_BYTES = 1,
    parameter FLASH_OFFSET = 24'h100000,
    parameter WAKE_NS = 30000
) (
    input wire clk,
    input wire rst,
    input wire rx,
    output wire tx,
    output wire active  // the design works on its own: a frame is computed, or the flash is read
);
    wire busy;
    wire error;

`ifdef SHIFTWORK_FLASH
    wire flash_cs_n;
    wire flash_sck;
    wire flash_mosi;
    tri1 flash_miso;  // the line is pulled up

    spi_flash #(
        .BYTES(FLASH_BYTES),
        .OFFSET(FLASH_OFFSET),
        .WAKE_NS(WAKE_NS)
    ) flash (
        .cs_n(flash_cs_n),
        .sck(flash_sck),
        .mosi(flash_mosi),
        .miso(flash_miso)
    );
    assign active = busy || !flash_cs_n;
`else
    assign active = busy;
`endif

    shiftwork_host host (
`ifdef SHIFTWORK_FLASH
        .flash_cs_n(flash_cs_n),
        .flash_sck(flash_sck),
        .flash_mosi(flash_mosi),
        .flash_miso(flash_miso),
`endif
        .clk(clk),
        .rst(rst),
        .rx(rx),
        .tx(tx),
        .busy(busy),
        .error(error)
    );
endmodule

`default_nettype wire
