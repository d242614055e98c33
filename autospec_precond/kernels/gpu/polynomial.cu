// The fused step y = c x + a S b1 + b b1 - g b2, scaling, and the vectors of CG.
//
// Templates over the type of the values V, of the vectors X, of the indices I and of the
// factors F; `source.py` says which are used. Nothing is included, so that nvcc, NVRTC and
// a host compiler (with the emulation in the tests) take the file as it is.
//
// SECOND says whether b2 is read. y may be b2: entry i of y is written by the thread that
// has read entry i of b2, so neither of the two is __restrict__.

constexpr int BLOCK = 256;  // threads; `launch.py` starts as many
constexpr unsigned ALL = 0xffffffffu;

// ---------------------------------------------------------------- numbers

template <class T>
struct alignas(2 * sizeof(T)) Complex {  // aligned: one load of 8 or 16 bytes
    T re, im;
};

struct Half {
    unsigned short bits;
};

struct BFloat16 {
    unsigned short bits;
};

template <class T>
struct Real {
    using type = T;
};
template <class T>
struct Real<Complex<T>> {
    using type = T;
};

__device__ __forceinline__ float from_bits(unsigned bits)
{
    return __uint_as_float(bits);
}

__device__ __forceinline__ float to_float(BFloat16 v)
{
    return from_bits(unsigned(v.bits) << 16);
}

__device__ __forceinline__ float to_float(Half v)
{
#ifdef __CUDA_ARCH__
    float f;
    asm("cvt.f32.f16 %0, %1;" : "=f"(f) : "h"(v.bits));
    return f;
#else
    const unsigned sign = unsigned(v.bits & 0x8000u) << 16;
    const unsigned exponent = v.bits >> 10 & 31u, fraction = v.bits & 0x3ffu;
    if (exponent == 31u) return from_bits(sign | 0x7f800000u | fraction << 13);
    if (exponent) return from_bits(sign | (exponent + 112u) << 23 | fraction << 13);
    const float tiny = float(fraction) * (1.0f / 16777216.0f);  // 2^-24
    return sign ? -tiny : tiny;
#endif
}

// A value in the precision of the vectors; real where it is real.
template <class X, class V>
struct Wide {
    using type = typename Real<X>::type;
    static __device__ __forceinline__ type of(V v) { return type(v); }
};
template <class X>
struct Wide<X, Half> {
    using type = typename Real<X>::type;
    static __device__ __forceinline__ type of(Half v) { return type(to_float(v)); }
};
template <class X>
struct Wide<X, BFloat16> {
    using type = typename Real<X>::type;
    static __device__ __forceinline__ type of(BFloat16 v) { return type(to_float(v)); }
};
template <class T, class U>
struct Wide<Complex<T>, Complex<U>> {
    using type = Complex<T>;
    static __device__ __forceinline__ type of(Complex<U> v) { return {T(v.re), T(v.im)}; }
};

// a b + sum
template <class T>
__device__ __forceinline__ T mad(T a, T b, T sum)
{
    return a * b + sum;
}
template <class T>
__device__ __forceinline__ Complex<T> mad(T a, Complex<T> b, Complex<T> sum)
{
    return {a * b.re + sum.re, a * b.im + sum.im};
}
template <class T>
__device__ __forceinline__ Complex<T> mad(Complex<T> a, Complex<T> b, Complex<T> sum)
{
    return {a.re * b.re + (sum.re - a.im * b.im), a.re * b.im + (sum.im + a.im * b.re)};
}

template <class T>
__device__ __forceinline__ T negative(T a)
{
    return -a;
}
template <class T>
__device__ __forceinline__ Complex<T> negative(Complex<T> a)
{
    return {-a.re, -a.im};
}

template <class T>
__device__ __forceinline__ Complex<T> operator+(Complex<T> a, Complex<T> b)
{
    return {a.re + b.re, a.im + b.im};
}
template <class T>
__device__ __forceinline__ Complex<T> operator/(Complex<T> a, Complex<T> b)
{
    // Scaled first: squares of b leave the range where b is far from one.
    const T size = (b.re < 0 ? -b.re : b.re) + (b.im < 0 ? -b.im : b.im);
    const Complex<T> p = {a.re / size, a.im / size}, q = {b.re / size, b.im / size};
    const T square = q.re * q.re + q.im * q.im;
    return {(p.re * q.re + p.im * q.im) / square, (p.im * q.re - p.re * q.im) / square};
}

// conj(a) b in the type of the sums
template <class S, class T>
__device__ __forceinline__ S conjugate_product(T a, T b, S sum)
{
    return S(a) * S(b) + sum;
}
template <class S, class T>
__device__ __forceinline__ S conjugate_product(Complex<T> a, Complex<T> b, S sum)
{
    const S conjugate = {double(a.re), -double(a.im)}, other = {double(b.re), double(b.im)};
    return mad(conjugate, other, sum);
}

// `wide` is X in double precision.
template <class X, class S>
struct Cast {
    using wide = double;
    static __device__ __forceinline__ X of(S v) { return X(v); }
};
template <class T, class S>
struct Cast<Complex<T>, S> {
    using wide = Complex<double>;
    static __device__ __forceinline__ Complex<T> of(S v) { return {T(v), T(0)}; }
};
template <class T, class U>
struct Cast<Complex<T>, Complex<U>> {
    using wide = Complex<double>;
    static __device__ __forceinline__ Complex<T> of(Complex<U> v)
    {
        return {T(v.re), T(v.im)};
    }
};

template <class T>
__device__ __forceinline__ T shuffle(T v, int lane)
{
    return __shfl_sync(ALL, v, lane, 32);
}
template <class T>
__device__ __forceinline__ Complex<T> shuffle(Complex<T> v, int lane)
{
    return {__shfl_sync(ALL, v.re, lane, 32), __shfl_sync(ALL, v.im, lane, 32)};
}
template <class T>
__device__ __forceinline__ T shuffle_down(T v, int by, int width)
{
    return __shfl_down_sync(ALL, v, by, width);
}
template <class T>
__device__ __forceinline__ Complex<T> shuffle_down(Complex<T> v, int by, int width)
{
    return {__shfl_down_sync(ALL, v.re, by, width), __shfl_down_sync(ALL, v.im, by, width)};
}

// ------------------------------------------------------------------- step

template <bool SECOND, class X, class F>
__device__ __forceinline__ void finish_step(
    size_t i, F c, F a, F b, F g, const X *x, const X *b1, const X *b2, X *y, X sum)
{
    X result = mad(a, sum, mad(b, b1[i], mad(c, x[i], X{})));
    if (SECOND) result = mad(negative(g), b2[i], result);
    y[i] = result;
}

// Rows, LANES threads each. The entries of the rows of a thread block lie side by side: all
// its threads load EACH of them at a time, none waiting for another, and leave the products
// in shared memory, where the rows are summed. Threads that follow their own row instead
// wait for row, index and entry in turn: 48 % of the bandwidth of a copy on an H200.
template <class V, class X, class I, class F, int LANES, bool SECOND>
__global__ void __launch_bounds__(BLOCK) csr_step(
    I n, const I *__restrict__ indptr, const I *__restrict__ indices,
    const V *__restrict__ values, F c, F a, F b, F g, const X *__restrict__ x,
    const X *__restrict__ b1, const X *b2, X *y)
{
    constexpr int ROWS = BLOCK / LANES;
    constexpr int EACH = sizeof(X) > 8 ? 4 : 8;
    constexpr int CHUNK = BLOCK * EACH;
    __shared__ X products[CHUNK];
    const I first = I(blockIdx.x) * ROWS;
    const I row = first + I(threadIdx.x / LANES);
    const int lane = threadIdx.x % LANES;
    const bool inside = row < n;
    const I end = indptr[n - first < ROWS ? n : first + ROWS];
    const I start = inside ? indptr[row] : end, stop = inside ? indptr[row + 1] : end;
    X sum{};
    for (I at = indptr[first]; at < end;) {
        const int count = end - at < CHUNK ? int(end - at) : CHUNK;
        I column[EACH];
        V value[EACH];
#pragma unroll
        for (int e = 0; e < EACH; ++e) {
            const int k = e * BLOCK + threadIdx.x;
            if (k < count) {
                column[e] = indices[at + k];
                value[e] = values[at + k];
            }
        }
#pragma unroll
        for (int e = 0; e < EACH; ++e) {
            const int k = e * BLOCK + threadIdx.x;
            if (k < count) products[k] = mad(Wide<X, V>::of(value[e]), b1[column[e]], X{});
        }
        __syncthreads();
        const int from = start > at ? (start - at < count ? int(start - at) : count) : 0;
        const int to = stop > at ? (stop - at < count ? int(stop - at) : count) : 0;
        for (int k = from + lane; k < to; k += LANES) sum = sum + products[k];
        if (end - at <= CHUNK) break;
        at += CHUNK;
        __syncthreads();  // nobody may overwrite what others have still to read
    }
    for (int by = LANES / 2; by > 0; by /= 2) sum = sum + shuffle_down(sum, by, LANES);
    if (inside && lane == 0) finish_step<SECOND>(size_t(row), c, a, b, g, x, b1, b2, y, sum);
}

// Rows and a block of columns, one thread per entry: threadIdx.x is the column, so that
// neighbours read one value and adjacent entries of b1.
template <class V, class X, class I, class F, bool SECOND>
__global__ void __launch_bounds__(BLOCK) csr_block_step(
    I n, int columns, const I *__restrict__ indptr, const I *__restrict__ indices,
    const V *__restrict__ values, F c, F a, F b, F g, const X *__restrict__ x,
    const X *__restrict__ b1, const X *b2, X *y)
{
    const I row = I(blockIdx.x) * I(blockDim.y) + I(threadIdx.y);
    const int column = blockIdx.y * blockDim.x + threadIdx.x;
    if (row >= n || column >= columns) return;
    X sum{};
    const I stop = indptr[row + 1];
    for (I j = indptr[row]; j < stop; ++j)
        sum = mad(Wide<X, V>::of(values[j]), b1[size_t(indices[j]) * columns + column], sum);
    const size_t i = size_t(row) * columns + column;
    finish_step<SECOND>(i, c, a, b, g, x, b1, b2, y, sum);
}

// A parameter of the kernel lies in constant memory: operands of the index arithmetic.
template <class I, int D>
struct Offsets {
    I at[D];
};

// Row `row` of the product. Without branches, so that all loads are on their way before
// the first sum. Outside the matrix a zero multiplies the entry of b1 that the row reads
// anyway.
template <class V, class X, class I, int D, bool HALF>
__device__ __forceinline__ X dia_row(
    I n, I row, int columns, int column, I pitch, const Offsets<I, D> &offsets,
    const V *__restrict__ values, const X *__restrict__ b1)
{
    using W = typename Wide<X, V>::type;
    X sum{};
#pragma unroll(D <= 32 ? D : 8)
    for (int d = 0; d < D; ++d) {
        const I offset = offsets.at[d];
        const V *diagonal = values + size_t(d) * size_t(pitch);
        const bool right = row >= -offset && row < n - offset;
        const X other = b1[size_t(right ? row + offset : row) * columns + column];
        const W value = Wide<X, V>::of(diagonal[row]);
        sum = mad(right ? value : W{}, other, sum);
        if (HALF) {
            const bool left = offset != 0 && row >= offset;
            const I mirrored = left ? row - offset : row;
            const X below = b1[size_t(mirrored) * columns + column];
            const W again = Wide<X, V>::of(diagonal[mirrored]);
            sum = mad(left ? again : W{}, below, sum);
        }
    }
    return sum;
}

// Diagonals; with HALF those above the main one stand for those below it, too.
//
// A warp takes EACH times 32 rows that follow each other: the values that stand for those
// below lie askew to the lines of the cache, and are read whole lines at a time. With 50
// diagonals, EACH = 2 and as few registers as this takes 82 % of the bandwidth of a copy
// on an H200, one row for each thread 76 %: these values come from the L2 cache, which
// they keep busy. Away from the first and the last `far` rows, the largest modulus of an
// offset, nothing has to be asked; the others take longer, so that the last `turn` blocks
// of rows, and then the first, come before the rest: at the end nothing would hide them.
template <class V, class X, class I, class F, int D, bool HALF, int EACH, bool SECOND>
__global__ void __launch_bounds__(EACH *BLOCK) dia_step(
    I n, I far, I turn, I pitch, const Offsets<I, D> offsets, const V *__restrict__ values,
    F c, F a, F b, F g, const X *__restrict__ x, const X *__restrict__ b1, const X *b2, X *y)
{
    constexpr int ROWS = EACH * EACH * BLOCK;
    constexpr int AT_ONCE = D <= 32 ? D : (EACH > 1 ? 2 : 4);
    const I place = I(blockIdx.x) - turn;
    const I first = (place < 0 ? place + I(gridDim.x) : place) * ROWS;
    const I row = first + I(threadIdx.x / 32 * (32 * EACH) + threadIdx.x % 32);
    X sum[EACH] = {};
    if (first >= far && first + ROWS + far <= n) {
#pragma unroll(AT_ONCE)
        for (int d = 0; d < D; ++d) {
            const I offset = offsets.at[d];
            const V *diagonal = values + size_t(d) * size_t(pitch);
#pragma unroll
            for (int e = 0; e < EACH; ++e) {
                const I at = row + 32 * e;
                sum[e] = mad(Wide<X, V>::of(diagonal[at]), b1[at + offset], sum[e]);
            }
            if (HALF && offset != 0) {
#pragma unroll
                for (int e = 0; e < EACH; ++e) {
                    const I at = row + 32 * e - offset;
                    sum[e] = mad(Wide<X, V>::of(diagonal[at]), b1[at], sum[e]);
                }
            }
        }
#pragma unroll
        for (int e = 0; e < EACH; ++e)
            finish_step<SECOND>(size_t(row + 32 * e), c, a, b, g, x, b1, b2, y, sum[e]);
        return;
    }
#pragma unroll(D <= 32 ? 4 : 2)
    for (int d = 0; d < D; ++d) {
        const I offset = offsets.at[d];
        const V *diagonal = values + size_t(d) * size_t(pitch);
#pragma unroll
        for (int e = 0; e < EACH; ++e) {
            const I at = row + 32 * e;
            if (at >= n) continue;
            if (at >= -offset && at < n - offset)
                sum[e] = mad(Wide<X, V>::of(diagonal[at]), b1[at + offset], sum[e]);
            if (HALF && offset != 0 && at >= offset)
                sum[e] = mad(
                    Wide<X, V>::of(diagonal[at - offset]), b1[at - offset], sum[e]);
        }
    }
#pragma unroll
    for (int e = 0; e < EACH; ++e) {
        const I at = row + 32 * e;
        if (at < n) finish_step<SECOND>(size_t(at), c, a, b, g, x, b1, b2, y, sum[e]);
    }
}

template <class V, class X, class I, class F, int D, bool HALF, bool SECOND>
__global__ void __launch_bounds__(BLOCK) dia_block_step(
    I n, int columns, I pitch, const Offsets<I, D> offsets, const V *__restrict__ values,
    F c, F a, F b, F g, const X *__restrict__ x, const X *__restrict__ b1, const X *b2, X *y)
{
    const I row = I(blockIdx.x) * I(blockDim.y) + I(threadIdx.y);
    const int column = blockIdx.y * blockDim.x + threadIdx.x;
    if (row >= n || column >= columns) return;
    const X sum =
        dia_row<V, X, I, D, HALF>(n, row, columns, column, pitch, offsets, values, b1);
    const size_t i = size_t(row) * columns + column;
    finish_step<SECOND>(i, c, a, b, g, x, b1, b2, y, sum);
}

// Dense blocks of B rows, one warp per row of blocks. A lane keeps its place within the
// block, so that a warp reads values that lie side by side: 27 of 32 lanes at B = 3. For
// B = 6 a lane takes two adjacent columns.
template <class V, class X, class I, class F, int B, bool SECOND>
__global__ void __launch_bounds__(BLOCK) bsr_step(
    I n_rows, const I *__restrict__ indptr, const I *__restrict__ indices,
    const V *__restrict__ values, F c, F a, F b, F g, const X *__restrict__ x,
    const X *__restrict__ b1, const X *b2, X *y)
{
    constexpr int EACH = B > 5 ? 2 : 1;
    constexpr int ACROSS = B / EACH;
    constexpr int LANES = B * ACROSS;
    constexpr int AT_ONCE = 32 / LANES;
    const I row = I(blockIdx.x) * (BLOCK / 32) + I(threadIdx.x / 32);
    const int lane = threadIdx.x % 32;
    const int part = lane / LANES, place = lane % LANES * EACH, column = place % B;
    const bool inside = row < n_rows;
    const I stop = inside && part < AT_ONCE ? indptr[row + 1] : I(0);
    X sum{};
    for (I j = inside ? indptr[row] + part : I(0); j < stop; j += AT_ONCE) {
        const V *block = values + size_t(j) * (B * B) + place;
        const X *other = b1 + size_t(indices[j]) * B + column;
        for (int k = 0; k < EACH; ++k) sum = mad(Wide<X, V>::of(block[k]), other[k], sum);
    }
    X total{};
    for (int q = 0; q < AT_ONCE; ++q)
        for (int k = 0; k < ACROSS; ++k)
            total = total + shuffle(sum, (q * LANES + lane * ACROSS + k) % 32);
    if (inside && lane < B)
        finish_step<SECOND>(size_t(row) * B + lane, c, a, b, g, x, b1, b2, y, total);
}

template <class V, class X, class I, class F, int B, bool SECOND>
__global__ void __launch_bounds__(BLOCK) bsr_block_step(
    I n_rows, int columns, const I *__restrict__ indptr, const I *__restrict__ indices,
    const V *__restrict__ values, F c, F a, F b, F g, const X *__restrict__ x,
    const X *__restrict__ b1, const X *b2, X *y)
{
    const I row = I(blockIdx.x) * I(blockDim.y) + I(threadIdx.y);
    const int column = blockIdx.y * blockDim.x + threadIdx.x;
    if (row >= n_rows * B || column >= columns) return;
    const I block_row = row / B;
    const int place = int(row % B) * B;
    X sum{};
    const I stop = indptr[block_row + 1];
    for (I j = indptr[block_row]; j < stop; ++j) {
        const V *block = values + size_t(j) * (B * B) + place;
        const X *other = b1 + size_t(indices[j]) * B * columns + column;
        for (int k = 0; k < B; ++k)
            sum = mad(Wide<X, V>::of(block[k]), other[size_t(k) * columns], sum);
    }
    const size_t i = size_t(row) * columns + column;
    finish_step<SECOND>(i, c, a, b, g, x, b1, b2, y, sum);
}

// ---------------------------------------------------------------- scaling

// y = x weights factor in double precision, whatever the types are. Steps are in entries.
template <class X, class Y>
__global__ void __launch_bounds__(BLOCK) scale(
    long long n, int columns, const X *x, long long x_row, long long x_column,
    const double *weights, double factor, Y *y, long long y_row, long long y_column)
{
    using D = typename Cast<Y, double>::wide;
    const long long row = (long long)(blockIdx.x) * blockDim.y + threadIdx.y;
    const int column = blockIdx.y * blockDim.x + threadIdx.x;
    if (row >= n || column >= columns) return;
    const double weight = weights ? weights[row] * factor : factor;
    const D value = Cast<D, X>::of(x[row * x_row + column * x_column]);
    y[row * y_row + column * y_column] = Cast<Y, D>::of(mad(weight, value, D{}));
}

// --------------------------------------------------------------- vectors of CG

// Sums are made in double precision and in one order: threads of a block, then blocks.
template <class S>
__device__ void add_block(S sum, S *out)
{
    __shared__ S parts[BLOCK / 32];
    for (int by = 16; by > 0; by /= 2) sum = sum + shuffle_down(sum, by, 32);
    if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = sum;
    __syncthreads();
    if (threadIdx.x == 0) {
        S total{};
        for (int k = 0; k < BLOCK / 32; ++k) total = total + parts[k];
        *out = total;
    }
}

// One sum conj(x) y for each block.
template <class X, class S>
__global__ void __launch_bounds__(BLOCK) dot(
    long long n, const X *__restrict__ x, const X *__restrict__ y, S *partial)
{
    S sum{};
    const long long all = (long long)(gridDim.x) * BLOCK;
    for (long long i = (long long)(blockIdx.x) * BLOCK + threadIdx.x; i < n; i += all)
        sum = conjugate_product(x[i], y[i], sum);
    add_block(sum, partial + blockIdx.x);
}

// The sum of these sums, by one block.
template <class S>
__global__ void __launch_bounds__(BLOCK) total(int n, const S *__restrict__ partial, S *out)
{
    S sum{};
    for (int i = threadIdx.x; i < n; i += BLOCK) sum = sum + partial[i];
    add_block(sum, out);
}

// x += alpha p, r -= alpha q with alpha = rho / pq, and the sums of |r|^2.
template <class X, class S>
__global__ void __launch_bounds__(BLOCK) update(
    long long n, const S *rho, const S *pq, const X *__restrict__ p, const X *__restrict__ q,
    X *__restrict__ x, X *__restrict__ r, S *partial)
{
    const X alpha = Cast<X, S>::of(*rho / *pq);
    S sum{};
    const long long all = (long long)(gridDim.x) * BLOCK;
    for (long long i = (long long)(blockIdx.x) * BLOCK + threadIdx.x; i < n; i += all) {
        x[i] = mad(alpha, p[i], x[i]);
        const X left = mad(negative(alpha), q[i], r[i]);
        r[i] = left;
        sum = conjugate_product(left, left, sum);
    }
    add_block(sum, partial + blockIdx.x);
}

// p = z + beta p with beta = rho / before.
template <class X, class S>
__global__ void __launch_bounds__(BLOCK) direction(
    long long n, const S *rho, const S *before, const X *__restrict__ z, X *__restrict__ p)
{
    const X beta = Cast<X, S>::of(*rho / *before);
    const long long all = (long long)(gridDim.x) * BLOCK;
    for (long long i = (long long)(blockIdx.x) * BLOCK + threadIdx.x; i < n; i += all)
        p[i] = mad(beta, p[i], z[i]);
}

// Rows of three numbers move down by one: the first is free for the next iteration.
template <class S>
__global__ void __launch_bounds__(BLOCK) record(int rows, S *log)
{
    const int k = threadIdx.x;
    const bool inside = k >= 3 && k < 3 * rows;
    const S kept = inside ? log[k - 3] : S{};
    __syncthreads();
    if (inside) log[k] = kept;
}

// ------------------------------------------------------ what an M is made of

// w += alpha v, and the sums of |w|^2.
template <class X, class S>
__global__ void __launch_bounds__(BLOCK) subtract(
    long long n, double alpha, const X *__restrict__ v, X *__restrict__ w, S *partial)
{
    S sum{};
    const long long all = (long long)(gridDim.x) * BLOCK;
    for (long long i = (long long)(blockIdx.x) * BLOCK + threadIdx.x; i < n; i += all) {
        const X left = mad(typename Real<X>::type(-alpha), v[i], w[i]);
        w[i] = left;
        sum = conjugate_product(left, left, sum);
    }
    add_block(sum, partial + blockIdx.x);
}

// Number i of a stream: uniform in (0, 1), a hash of seed + i.
template <class X>
__global__ void __launch_bounds__(BLOCK) uniform(
    long long n, unsigned long long seed, X *__restrict__ out)
{
    const long long i = (long long)(blockIdx.x) * BLOCK + threadIdx.x;
    if (i >= n) return;
    unsigned long long z = (unsigned long long)(i + 1) * 0x9E3779B97F4A7C15ull + seed;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    z = z ^ (z >> 31);
    out[i] = (X(z >> 11) + 0.5) * (1.0 / 9007199254740992.0);
}

constexpr int SHARE = 8;  // threads of a row below

template <class I>
struct Row {
    I row, start, stop;
    __device__ __forceinline__ Row(I n, const I *indptr)
    {
        row = I(blockIdx.x) * (BLOCK / SHARE) + I(threadIdx.x / SHARE);
        start = row < n ? indptr[row] + I(threadIdx.x % SHARE) : I(0);
        stop = row < n ? indptr[row + 1] : I(0);
    }
};

// Entries of L A R, L and R diagonal, in double precision.
template <class V, class W, class I>
__global__ void __launch_bounds__(BLOCK) entries(
    I n, const I *__restrict__ indptr, const I *__restrict__ indices,
    const V *__restrict__ values, const double *__restrict__ left,
    const double *__restrict__ right, W *__restrict__ out)
{
    const Row<I> at(n, indptr);
    for (I j = at.start; j < at.stop; j += SHARE) {
        const double above = left ? left[at.row] : 1.0, across = right ? right[indices[j]] : 1.0;
        out[j] = mad(above * across, Cast<W, V>::of(values[j]), W{});
    }
}

// Which diagonals hold entries: the one with offset o is number o + n - 1.
template <class I>
__global__ void __launch_bounds__(BLOCK) mark(
    I n, const I *__restrict__ indptr, const I *__restrict__ indices, unsigned char *seen)
{
    const Row<I> at(n, indptr);
    for (I j = at.start; j < at.stop; j += SHARE) {
        unsigned char &place = seen[size_t(indices[j]) + size_t(n - 1) - size_t(at.row)];
        if (!place) place = 1;  // thousands would write it
    }
}

// Entries times a factor to their diagonals; `number` is 0 for those that are not stored.
template <class V, class W, class I>
__global__ void __launch_bounds__(BLOCK) fill(
    I n, I pitch, const I *__restrict__ indptr, const I *__restrict__ indices,
    const V *__restrict__ values, double factor, const short *__restrict__ number,
    W *__restrict__ data)
{
    const Row<I> at(n, indptr);
    for (I j = at.start; j < at.stop; j += SHARE) {
        const int k = number[size_t(indices[j]) + size_t(n - 1) - size_t(at.row)];
        if (k) data[size_t(k - 1) * size_t(pitch) + size_t(at.row)] =
            Cast<W, V>::of(mad(typename Real<V>::type(factor), values[j], V{}));
    }
}
