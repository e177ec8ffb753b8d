// What a CUDA kernel finds around itself, for a compiler of the host: threads run one after the other.
//
// Arrays lie between pages that may not be touched, those that are const in pages that may not be written,
// so that whatever reaches beyond them stops the kernel. Threads of a warp that exchange values are fibers.
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

// without their header, which takes most of the time of a compilation
extern "C" {
float sqrtf(float) noexcept;
float exp2f(float) noexcept;
float fminf(float, float) noexcept;
float fmaxf(float, float) noexcept;
}

#define __global__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(most)

struct dim3 {
    unsigned x, y, z;
};

static dim3 gridDim, blockDim, blockIdx, threadIdx;

static inline int min(int a, int b) { return a < b ? a : b; }
static inline int max(int a, int b) { return a < b ? b : a; }
static inline long long min(long long a, long long b) { return a < b ? a : b; }
static inline long long max(long long a, long long b) { return a < b ? b : a; }

static inline float __int_as_float(int bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

namespace shim {

enum Outcome { DONE = 0, OUT_OF_BOUNDS = 1, LEFT_WAITING = 2 };

struct Fiber {
    ucontext_t start;
    jmp_buf place;
    bool is_started, is_over;
    int line;
};

constexpr int WARP = 32, STACK = 1 << 16;
static Fiber fibers[WARP];
static char* stacks;
static jmp_buf all_over;
// the thread that runs, as its place in the block and in its warp, and who comes first and after each
static int warp_begins, lane, first_lane, step;
static bool has_failed;
// two boards in turn: what one exchange reads, the next does not write
static float boards[2][WARP];
static unsigned exchanges[WARP];
static void (*body)();

static void place_thread(int thread)
{
    threadIdx.x = thread % blockDim.x;
    threadIdx.y = thread / blockDim.x % blockDim.y;
    threadIdx.z = thread / blockDim.x / blockDim.y;
}

static void run_lane(int next)
{
    lane = next;
    place_thread(warp_begins + next);
    if (fibers[next].is_started) {
        _longjmp(fibers[next].place, 1);
    }
    fibers[next].is_started = true;
    setcontext(&fibers[next].start);
}

// Lets the next thread of the warp run: all have to wait at one place, or be over.
static void pass_on(int line)
{
    Fiber& own = fibers[lane];
    own.line = line;
    has_failed = has_failed || line != fibers[first_lane].line;
    const int next = (lane + step) & (WARP - 1);
    if (has_failed || (own.is_over && next == first_lane)) {
        _longjmp(all_over, 1);
    }
    if (own.is_over || _setjmp(own.place) == 0) {
        run_lane(next);
    }
}

static void whole_thread()
{
    body();
    fibers[lane].is_over = true;
    pass_on(-1);
}

static inline float exchange(unsigned mask, float value, int from, int line)
{
    const unsigned board = exchanges[lane]++ & 1;
    const int own = lane;
    has_failed = has_failed || mask != 0xffffffffu;
    boards[board][own] = value;
    pass_on(line);
    return from < 0 || from >= WARP ? value : boards[board][from];
}

static void run_warp(int thread, bool turned)
{
    for (int i = 0; i < WARP; ++i) {
        getcontext(&fibers[i].start);
        fibers[i].start.uc_stack.ss_sp = stacks + (size_t)i * STACK;
        fibers[i].start.uc_stack.ss_size = STACK;
        fibers[i].start.uc_link = nullptr;
        makecontext(&fibers[i].start, whole_thread, 0);
        fibers[i].is_started = fibers[i].is_over = false;
        exchanges[i] = 0;
    }
    warp_begins = thread;
    first_lane = turned ? WARP - 1 : 0;
    step = turned ? -1 : 1;
    if (_setjmp(all_over) == 0) {
        run_lane(first_lane);
    }
}

static void run_block(int threads, bool waits, bool turned)
{
    for (int i = 0; i < threads; i += waits ? WARP : 1) {
        const int thread = turned ? threads - (waits ? WARP : 1) - i : i;
        if (waits) {
            run_warp(thread, turned);
            continue;
        }
        place_thread(thread);
        body();
    }
}

static sigjmp_buf escape;
static char* volatile touched;

static void on_fault(int, siginfo_t* told, void*)
{
    touched = (char*)told->si_addr;
    siglongjmp(escape, 1);
}

// Runs all blocks; `turned` takes blocks and threads from the last to the first.
static int run(const unsigned* grid, const unsigned* block, bool waits, bool turned)
{
    gridDim = {grid[0], grid[1], grid[2]};
    blockDim = {block[0], block[1], block[2]};
    const int threads = block[0] * block[1] * block[2];
    const long long blocks = (long long)grid[0] * grid[1] * grid[2];
    struct sigaction fault = {}, before[2];
    fault.sa_sigaction = on_fault;
    fault.sa_flags = SA_SIGINFO | SA_NODEFER;
    has_failed = false;
    stacks = (char*)mmap(nullptr, WARP * STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    sigaction(SIGSEGV, &fault, &before[0]);
    sigaction(SIGBUS, &fault, &before[1]);
    volatile int outcome = OUT_OF_BOUNDS;
    if (sigsetjmp(escape, 1) == 0) {
        for (long long i = 0; i < blocks && !has_failed; ++i) {
            const long long number = turned ? blocks - 1 - i : i;
            blockIdx = {(unsigned)(number % grid[0]), (unsigned)(number / grid[0] % grid[1]),
                        (unsigned)(number / grid[0] / grid[1])};
            run_block(threads, waits, turned);
        }
        outcome = has_failed ? LEFT_WAITING : DONE;
    }
    sigaction(SIGSEGV, &before[0], nullptr);
    sigaction(SIGBUS, &before[1], nullptr);
    munmap(stacks, WARP * STACK);
    return outcome;
}

struct Guarded {
    char *all, *data;
    size_t bytes, whole;
};

// A copy of an array that ends, or begins, where memory may not be touched.
static Guarded guarded(const void* source, size_t bytes, bool is_const, bool at_the_end)
{
    const size_t page = sysconf(_SC_PAGESIZE), inner = (bytes + page - 1) / page * page;
    Guarded made = {nullptr, nullptr, bytes, inner + 2 * page};
    made.all = (char*)mmap(nullptr, made.whole, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(made.all + page, inner, PROT_READ | PROT_WRITE);
    made.data = made.all + page + (at_the_end ? inner - bytes : 0);
    memcpy(made.data, source, bytes);
    if (is_const) {
        mprotect(made.all + page, inner, PROT_READ);
    }
    return made;
}

}  // namespace shim

#define __shfl_up_sync(mask, value, by) \
    shim::exchange(mask, value, shim::lane - (int)(by), __LINE__)
#define __shfl_down_sync(mask, value, by) \
    shim::exchange(mask, value, shim::lane + (int)(by), __LINE__)
