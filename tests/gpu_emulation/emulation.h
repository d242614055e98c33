// CUDA's words for a host compiler: the threads of a block are fibers on one core.
//
// A fiber runs until it meets a barrier, of its warp (shuffles) or of its block; then the
// next one runs. A barrier that not all reach ends the launch with an error, as it would
// hang on a device. Memory is the host's.
#include <ucontext.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <utility>

#define __global__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(threads)
#define __shared__ static thread_local

struct Index {
    unsigned x, y, z;
};
static Index threadIdx, blockIdx, blockDim, gridDim;

namespace emulation {

constexpr int MOST = 1024;
constexpr size_t STACK = 1 << 15;

struct Fiber {
    ucontext_t context;
    Index at;
    bool ended;
    const unsigned *waits_for;  // a counter of barriers passed, or null
    unsigned passed;
};

struct Barrier {
    unsigned passed, arrived;
};

static Fiber fibers[MOST];
static ucontext_t scheduler;
static Barrier warps[MOST / 32], whole;
static unsigned char lanes[MOST][16];
static char *stacks;
static int current, n_threads;
static void (*body)(void *);
static void *argument;

inline void meet(Barrier &barrier, int expected)
{
    Fiber &self = fibers[current];
    if (++barrier.arrived == unsigned(expected)) {
        barrier.arrived = 0;
        ++barrier.passed;
        return;
    }
    self.waits_for = &barrier.passed;
    self.passed = barrier.passed;
    swapcontext(&self.context, &scheduler);
    self.waits_for = nullptr;
}

inline void meet_warp()
{
    const int first = current / 32 * 32;
    meet(warps[current / 32], n_threads - first < 32 ? n_threads - first : 32);
}

template <class T>
T exchange(T value, int source)
{
    std::memcpy(lanes[current], &value, sizeof(T));
    meet_warp();
    std::memcpy(&value, lanes[current / 32 * 32 + source], sizeof(T));
    meet_warp();  // nobody may overwrite what others have still to read
    return value;
}

static void enter()
{
    body(argument);
    fibers[current].ended = true;
    swapcontext(&fibers[current].context, &scheduler);
}

// Run one block; false where some threads wait for others that have ended.
static bool run_block()
{
    whole = {};
    std::memset(warps, 0, sizeof(warps));
    for (int k = 0; k < n_threads; ++k) {
        Fiber &fiber = fibers[k];
        getcontext(&fiber.context);
        fiber.context.uc_stack.ss_sp = stacks + k * STACK;
        fiber.context.uc_stack.ss_size = STACK;
        fiber.context.uc_link = nullptr;
        fiber.ended = false;
        fiber.waits_for = nullptr;
        fiber.at = {k % blockDim.x, k / blockDim.x % blockDim.y, 0};
        makecontext(&fiber.context, enter, 0);
    }
    for (int left = n_threads; left > 0;) {
        bool moved = false;
        for (int k = 0; k < n_threads; ++k) {
            Fiber &fiber = fibers[k];
            if (fiber.ended || (fiber.waits_for && *fiber.waits_for == fiber.passed)) continue;
            moved = true;
            current = k;
            threadIdx = fiber.at;
            swapcontext(&scheduler, &fiber.context);
            left -= fiber.ended;
        }
        if (!moved) return false;
    }
    return true;
}

template <class... A, size_t... K>
void call(void (*kernel)(A...), void **args, std::index_sequence<K...>)
{
    kernel(*static_cast<A *>(args[K])...);
}

// Start a kernel as cuLaunchKernel does: one pointer per parameter.
template <class... A>
int launch(void (*kernel)(A...), const unsigned *grid, const unsigned *block, void **args,
           int n_args)
{
    if (n_args != int(sizeof...(A))) return 1;
    struct Call {
        void (*kernel)(A...);
        void **args;
    } given = {kernel, args};
    body = [](void *it) {
        const Call &given = *static_cast<Call *>(it);
        call(given.kernel, given.args, std::index_sequence_for<A...>{});
    };
    argument = &given;
    blockDim = {block[0], block[1], 1};
    gridDim = {grid[0], grid[1], 1};
    n_threads = int(block[0] * block[1]);
    if (n_threads > MOST) return 2;
    if (!stacks) stacks = static_cast<char *>(std::malloc(MOST * STACK));
    for (unsigned y = 0; y < grid[1]; ++y)
        for (unsigned x = 0; x < grid[0]; ++x) {
            blockIdx = {x, y, 0};
            bool done = false;
            // A thread of its own, so that nothing of what the block before has left in
            // shared memory stands in for what this one has still to write.
            std::thread([&done] { done = run_block(); }).join();
            if (!done) return 3;
        }
    return 0;
}

template <class... A>
int sizes(void (*)(A...), size_t *out)
{
    const size_t all[] = {sizeof(A)...};
    for (size_t k = 0; k < sizeof...(A); ++k) out[k] = all[k];
    return int(sizeof...(A));
}

}  // namespace emulation

template <class T>
T __shfl_sync(unsigned, T value, int lane, int width)
{
    const int self = emulation::current % 32;
    return emulation::exchange(value, self / width * width + lane % width);
}

template <class T>
T __shfl_down_sync(unsigned, T value, unsigned by, int width)
{
    const int self = emulation::current % 32, last = self / width * width + width;
    return emulation::exchange(value, self + int(by) < last ? self + int(by) : self);
}

inline void __syncthreads()
{
    emulation::meet(emulation::whole, emulation::n_threads);
}

inline float __uint_as_float(unsigned bits)
{
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}
