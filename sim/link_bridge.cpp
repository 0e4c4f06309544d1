// Runs the simulated board of link_bench.v behind a pseudo-terminal, whose controlling side is the
// standard input, in both directions: bytes from there go to the line rx bit by bit, and those on the
// line tx come back.
//
// Time passes on the board only while something happens there, and for some time afterwards: first
// for SETTLE_BITS bits, which is too short for the shell to take a rest of the line for the end of a
// request. If nothing has come for GRACE_MS by then, for EXPIRE_BITS bits, which is long enough; then
// it stands until something comes. So what the board sees does not depend on how fast the simulation
// is, as long as the pauses within what is sent to it are shorter than GRACE_MS.
//
// Arguments: clock cycles a bit, SETTLE_BITS, EXPIRE_BITS, clock period in picoseconds.
#include <poll.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <deque>
#include <memory>

#include "Vtop.h"
#include "verilated.h"

namespace {

constexpr int LINE_FD = STDIN_FILENO;
constexpr int GRACE_MS = 50;
constexpr int RESET_CYCLES = 4;
constexpr int DATA_BITS = 8;
constexpr int POLL_CYCLES = 256;

// The host's transmitter: a byte is ten bits of equal length, and the line is high at rest.
class Sender {
  public:
    explicit Sender(unsigned divisor) : divisor_(divisor) {}

    void put(const uint8_t* bytes, size_t count) { queue_.insert(queue_.end(), bytes, bytes + count); }

    bool resting() const { return queue_.empty() && left_ == 0; }

    bool step() {
        if (left_ == 0) {
            if (queue_.empty()) return true;
            bits_ = 0x200u | queue_.front() << 1;
            queue_.pop_front();
            left_ = (DATA_BITS + 2) * divisor_;
            timer_ = divisor_;
        }
        const bool level = bits_ & 1;
        --left_;
        if (--timer_ == 0) {
            bits_ >>= 1;
            timer_ = divisor_;
        }
        return level;
    }

  private:
    unsigned divisor_;
    std::deque<uint8_t> queue_;
    unsigned bits_ = 0;
    unsigned left_ = 0;
    unsigned timer_ = 0;
};

// The host's receiver: samples bits in their middle.
class Receiver {
  public:
    explicit Receiver(unsigned divisor) : divisor_(divisor) {}

    bool resting() const { return left_ == 0; }

    // Returns whether `byte` is complete.
    bool step(bool level) {
        if (left_ == 0) {
            if (!level) {
                left_ = DATA_BITS + 1;
                timer_ = divisor_ + divisor_ / 2;
            }
            return false;
        }
        if (--timer_ != 0) return false;
        timer_ = divisor_;
        if (--left_ == 0) return level;  // the stop bit
        byte = static_cast<uint8_t>(byte >> 1 | level << (DATA_BITS - 1));
        return false;
    }

    uint8_t byte = 0;

  private:
    unsigned divisor_;
    unsigned left_ = 0;
    unsigned timer_ = 0;
};

class Board {
  public:
    Board(unsigned divisor, uint64_t period_ps, VerilatedContext& context)
        : context_(context), top_(&context), sender_(divisor), receiver_(divisor), half_(period_ps / 2) {
        top_.rst = 1;
        for (int cycle = 0; cycle < RESET_CYCLES; ++cycle) step();
        top_.rst = 0;
    }

    void put(const uint8_t* bytes, size_t count) { sender_.put(bytes, count); }

    // Runs so many cycles; returns whether something happened. Bytes from the board go to LINE_FD.
    bool run(unsigned cycles) {
        bool moved = false;
        for (unsigned cycle = 0; cycle < cycles; ++cycle) moved |= step();
        return moved;
    }

  private:
    bool step() {
        top_.rx = sender_.step();
        top_.clk = 0;
        top_.eval();
        context_.timeInc(half_);
        top_.clk = 1;
        top_.eval();
        context_.timeInc(half_);
        if (receiver_.step(top_.tx) && write(LINE_FD, &receiver_.byte, 1) != 1) {
            std::exit(EXIT_FAILURE);
        }
        return top_.active || !sender_.resting() || !receiver_.resting();
    }

    VerilatedContext& context_;
    Vtop top_;
    Sender sender_;
    Receiver receiver_;
    uint64_t half_;
};

// Hands over what has come within `timeout` milliseconds (-1: for ever); whether anything has.
bool take(Board& board, int timeout) {
    pollfd line{LINE_FD, POLLIN, 0};
    if (poll(&line, 1, timeout) <= 0) return false;
    uint8_t bytes[4096];
    const ssize_t count = read(LINE_FD, bytes, sizeof bytes);
    if (count <= 0) std::exit(EXIT_SUCCESS);  // the terminal has been closed
    board.put(bytes, static_cast<size_t>(count));
    return true;
}

// Runs for `cycles` in which nothing happens; from the beginning whenever something does.
void rest(Board& board, unsigned cycles) {
    for (unsigned quiet = 0; quiet < cycles;) {
        const bool moved = board.run(POLL_CYCLES);
        quiet = take(board, 0) || moved ? 0 : quiet + POLL_CYCLES;
    }
}

}  // namespace

int main(int argc, char** argv) {
    VerilatedContext context;
    context.commandArgs(argc, argv);
    const unsigned divisor = std::strtoul(argv[1], nullptr, 10);
    const unsigned settle = divisor * std::strtoul(argv[2], nullptr, 10);
    const unsigned expire = divisor * std::strtoul(argv[3], nullptr, 10);
    Board board(divisor, std::strtoull(argv[4], nullptr, 10), context);
    for (;;) {
        rest(board, settle);
        if (take(board, GRACE_MS)) continue;
        rest(board, expire);
        take(board, -1);
    }
}
