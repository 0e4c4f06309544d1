// The accelerator with AXI4-Stream ports between registers and wires that cocotb can see.
`timescale 1ns / 1ps
`default_nettype none

module shiftwork_bench;
    /* verilator public_flat_rw_on */
    reg aclk = 0, aresetn = 0, clear_errors = 0;
    reg [7:0] s_axis_tdata = 0;
    reg s_axis_tvalid = 0, s_axis_tlast = 0, m_axis_tready = 0;
    wire s_axis_tready, m_axis_tvalid, m_axis_tlast, busy;
    wire [7:0] m_axis_tdata, frames_discarded;
    wire [1:0] frame_event, frame_errors;
    /* verilator public_off */
    shiftwork_axi_stream dut (
        .aclk(aclk), .aresetn(aresetn),
        .s_axis_tdata(s_axis_tdata), .s_axis_tvalid(s_axis_tvalid),
        .s_axis_tready(s_axis_tready), .s_axis_tlast(s_axis_tlast),
        .m_axis_tdata(m_axis_tdata), .m_axis_tvalid(m_axis_tvalid),
        .m_axis_tready(m_axis_tready), .m_axis_tlast(m_axis_tlast),
        .busy(busy), .frame_event(frame_event), .frame_errors(frame_errors),
        .frames_discarded(frames_discarded), .clear_errors(clear_errors)
    );
endmodule
