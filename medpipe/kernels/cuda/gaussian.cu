// Sums under a symmetric window along one axis; beyond its ends the outermost values go on.
//
// A thread makes TOGETHER values: along z and y those that follow each other along the axis, so that it
// reads each once, along x those of rows that follow each other, so that threads beside each other read
// voxels beside each other. The compiler is told TOGETHER, and by WIDE whether places need 64 bits. To be
// compiled without fused multiply-adds: then the numbers are those of the host to the last bit.

#if WIDE
typedef long long Index;
#else
typedef int Index;
#endif

__device__ __forceinline__ int held(int place, int n)
{
    return min(max(place, 0), n - 1);
}

// Of x (before, n, after) make the values first to first + count along the middle axis.
extern "C" __global__ void __launch_bounds__(256)
weighed_across(const float* __restrict__ x, const float* __restrict__ window, float* __restrict__ result, int reach,
               int n, long long after, int first, int count, long long threads)
{
    const long long thread = ((long long)blockIdx.x * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
    if (thread >= threads) {
        return;
    }
    const Index beside = (Index)after, number = (Index)thread;
    const Index parts = (count + TOGETHER - 1) / TOGETHER;
    const Index along = number % beside, rest = number / beside;
    const int begin = (int)(rest % parts) * TOGETHER;
    const Index before = rest / parts;
    const float* from = x + (before * n * beside + along);
    float low[TOGETHER], high[TOGETHER], sum[TOGETHER];
#pragma unroll
    for (int k = 0; k < TOGETHER; ++k) {
        low[k] = high[k] = from[held(first + begin + k, n) * beside];
        sum[k] = window[0] * low[k];
    }
    for (int step = 1; step <= reach; ++step) {
#pragma unroll
        for (int k = TOGETHER - 1; k > 0; --k) {
            low[k] = low[k - 1];
        }
#pragma unroll
        for (int k = 0; k < TOGETHER - 1; ++k) {
            high[k] = high[k + 1];
        }
        low[0] = from[held(first + begin - step, n) * beside];
        high[TOGETHER - 1] = from[held(first + begin + TOGETHER - 1 + step, n) * beside];
        const float weight = window[step];
#pragma unroll
        for (int k = 0; k < TOGETHER; ++k) {
            sum[k] += weight * (low[k] + high[k]);
        }
    }
    float* to = result + (before * count * beside + begin * beside + along);
#pragma unroll
    for (int k = 0; k < TOGETHER; ++k) {
        if (begin + k < count) {
            to[k * beside] = sum[k];
        }
    }
}

// Of x (rows, n) make all values along the rows.
extern "C" __global__ void __launch_bounds__(256)
weighed_within(const float* __restrict__ x, const float* __restrict__ window, float* __restrict__ result, int reach,
               int n, long long rows, long long threads)
{
    const long long thread = ((long long)blockIdx.x * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
    if (thread >= threads) {
        return;
    }
    const Index number = (Index)thread;
    const int column = (int)(number % n);
    const Index first = number / n * TOGETHER;
    Index row[TOGETHER];
    float sum[TOGETHER];
#pragma unroll
    for (int k = 0; k < TOGETHER; ++k) {
        row[k] = min(first + k, (Index)rows - 1) * n;
        sum[k] = window[0] * x[row[k] + column];
    }
    for (int step = 1; step <= reach; ++step) {
        const int low = held(column - step, n), high = held(column + step, n);
        const float weight = window[step];
#pragma unroll
        for (int k = 0; k < TOGETHER; ++k) {
            sum[k] += weight * (x[row[k] + low] + x[row[k] + high]);
        }
    }
#pragma unroll
    for (int k = 0; k < TOGETHER; ++k) {
        if (first + k < rows) {
            result[(first + k) * n + column] = sum[k];
        }
    }
}
