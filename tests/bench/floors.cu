// What a device can do at most: bytes read and written, multiply-adds, comparisons that order two values.

extern "C" __global__ void __launch_bounds__(256)
copy(const float* __restrict__ x, float* __restrict__ y, long long n)
{
    const long long first = (long long)blockIdx.x * (4 * blockDim.x) + threadIdx.x;
    float held[4];
#pragma unroll
    for (int k = 0; k < 4; ++k) {
        const long long i = first + k * blockDim.x;
        held[k] = i < n ? x[i] : 0.0f;
    }
#pragma unroll
    for (int k = 0; k < 4; ++k) {
        const long long i = first + k * blockDim.x;
        if (i < n) {
            y[i] = held[k];
        }
    }
}

// Each thread does 8 x rounds of them, eight at a time independent of each other.
extern "C" __global__ void __launch_bounds__(256)
multiply_adds(float* __restrict__ y, float factor, float term, int rounds)
{
    float v[8];
#pragma unroll
    for (int k = 0; k < 8; ++k) {
        v[k] = (float)(threadIdx.x + k);
    }
    for (int i = 0; i < rounds; ++i) {
#pragma unroll
        for (int k = 0; k < 8; ++k) {
            v[k] = v[k] * factor + term;
        }
    }
    float sum = 0.0f;
#pragma unroll
    for (int k = 0; k < 8; ++k) {
        sum += v[k];
    }
    y[(long long)blockIdx.x * blockDim.x + threadIdx.x] = sum;
}

// Each thread does 16 x rounds of minima and maxima: of neighbours in pairs, then of other pairs, as a sort does.
extern "C" __global__ void __launch_bounds__(256)
orders(float* __restrict__ y, float factor, int rounds)
{
    float v[8];
#pragma unroll
    for (int k = 0; k < 8; ++k) {
        v[k] = factor * (float)(threadIdx.x + 5 * k % 8);
    }
    for (int i = 0; i < rounds; ++i) {
#pragma unroll
        for (int k = 0; k < 16; k += 2) {
            const int low = k < 8 ? k : k - 7, high = (low + 1) % 8;
            const float a = v[low], b = v[high];
            v[low] = fminf(a, b);
            v[high] = fmaxf(a, b);
        }
    }
    float sum = 0.0f;
#pragma unroll
    for (int k = 0; k < 8; ++k) {
        sum += v[k];
    }
    y[(long long)blockIdx.x * blockDim.x + threadIdx.x] = sum;
}
