// The median of a cube of 3, each thread a column of voxels along z.
//
// Nine voxels of a plane are sorted in registers, and serve the three planes around them. Two
// neighbouring planes of the result share the merge of the two nines between them, of which only
// ranks 5 to 14 can still be the median. Threads have nothing in common, so none waits. The
// compiler is told by WIDE whether places need 64 bits.

#if WIDE
typedef long long Index;
#else
typedef int Index;
#endif

__device__ __forceinline__ void order(float& a, float& b)
{
    const float low = fminf(a, b);
    b = fmaxf(a, b);
    a = low;
}

__device__ __forceinline__ void order_three(float& a, float& b, float& c)
{
    order(a, b);
    order(b, c);
    order(a, b);
}

// Sorts nine voxels of a plane; returns whether one is missing, which their order does not show.
__device__ __forceinline__ bool sort_nine(const float* x, Index plane, const Index places[9], float v[9])
{
#pragma unroll
    for (int i = 0; i < 9; ++i) {
        v[i] = x[plane + places[i]];
    }
    // one sum is cheaper than nine tests; infinities of both signs make it NaN as well
    const float sum = ((v[0] + v[1]) + (v[2] + v[3])) + ((v[4] + v[5]) + (v[6] + v[7])) + v[8];
    bool missing = false;
    if (sum != sum) {
#pragma unroll
        for (int i = 0; i < 9; ++i) {
            missing = missing || v[i] != v[i];
        }
    }
    // Floyd's network of 25 comparators
    order_three(v[0], v[1], v[2]);
    order_three(v[3], v[4], v[5]);
    order_three(v[6], v[7], v[8]);
    order_three(v[0], v[3], v[6]);
    order_three(v[1], v[4], v[7]);
    order_three(v[2], v[5], v[8]);
    order(v[1], v[3]);
    order(v[5], v[7]);
    order(v[2], v[6]);
    order(v[4], v[6]);
    order(v[2], v[4]);
    order(v[2], v[3]);
    order(v[5], v[6]);
    return missing;
}

// Ranks 5 to 14 of two nines: Batcher's odd-even merge without what only the other ranks need.
__device__ __forceinline__ void merge_middle(const float p[9], const float q[9], float middle[10])
{
    float a[9], b[9];
#pragma unroll
    for (int i = 0; i < 9; ++i) {
        a[i] = p[i];
        b[i] = q[i];
    }
    order(a[0], b[0]);
    order(a[8], b[8]);
    order(a[8], b[0]);
    order(a[4], b[4]);
    order(a[4], a[8]);
    order(b[4], b[0]);
    order(a[2], b[2]);
    order(a[6], b[6]);
    order(a[6], b[2]);
    order(a[2], a[4]);
    order(a[6], a[8]);
    order(b[2], b[4]);
    order(b[6], b[0]);
    order(a[1], b[1]);
    order(a[5], b[5]);
    order(a[5], b[1]);
    order(a[3], b[3]);
    order(a[7], b[7]);
    order(a[7], b[3]);
    order(a[3], a[5]);
    order(a[7], b[1]);
    order(b[3], b[5]);
    order(a[3], a[4]);
    order(a[5], a[6]);
    order(a[7], a[8]);
    order(b[1], b[2]);
    order(b[3], b[4]);
    order(b[5], b[6]);
#pragma unroll
    for (int i = 0; i < 5; ++i) {
        middle[i] = a[4 + i];
        middle[5 + i] = b[1 + i];
    }
}

// Rank 14 of 27: the least, over j, of max(rank 14 - j of the 18, rank j of the 9).
__device__ __forceinline__ float pick(const float middle[10], const float nine[9])
{
    float least = middle[9];
#pragma unroll
    for (int j = 0; j < 9; ++j) {
        least = fminf(least, fmaxf(middle[8 - j], nine[j]));
    }
    // adding zero leaves one sign of zero
    return least + 0.0f;
}

struct Column {
    const float* x;
    float* result;
    Index plane, own;
    Index places[9];
    int n_z, first, to;
};

struct Nine {
    float v[9];
    bool missing;
};

__device__ __forceinline__ void read_nine(const Column& at, int z, Nine& nine)
{
    const int inside = min(max(z, 0), at.n_z - 1);
    nine.missing = sort_nine(at.x, inside * at.plane, at.places, nine.v);
}

// Makes the planes z and z + 1, given the nines of z - 1 and z; leaves those of z + 1 and z + 2.
__device__ __forceinline__ void make_pair(const Column& at, int z, const Nine& below, const Nine& here, Nine& next,
                                          Nine& beyond)
{
    float middle[10];
    const float nothing = __int_as_float(0x7fc00000);
    read_nine(at, z + 1, next);
    read_nine(at, z + 2, beyond);
    merge_middle(here.v, next.v, middle);
    const bool missing = here.missing || next.missing;
    const Index place = (z - at.first) * at.plane + at.own;
    at.result[place] = missing || below.missing ? nothing : pick(middle, below.v);
    if (z + 1 < at.to) {
        at.result[place + at.plane] = missing || beyond.missing ? nothing : pick(middle, beyond.v);
    }
}

// Planes first to last (not included) of the medians of x, in chunks of so many along z.
extern "C" __global__ void __launch_bounds__(256)
median_of_27(const float* __restrict__ x, float* __restrict__ result, int n_z, int n_y, int n_x, int first, int last,
             int deep)
{
    const int tiles_x = (n_x + blockDim.x - 1) / blockDim.x;
    const int tiles_y = (n_y + blockDim.y - 1) / blockDim.y;
    const int tile = blockIdx.x % (tiles_x * tiles_y);
    const int column = tile % tiles_x * blockDim.x + threadIdx.x;
    const int row = tile / tiles_x * blockDim.y + threadIdx.y;
    if (column >= n_x || row >= n_y) {
        return;
    }
    Column at;
    at.x = x;
    at.result = result;
    at.plane = (Index)n_y * n_x;
    at.own = (Index)row * n_x + column;
    at.n_z = n_z;
    at.first = first;
#pragma unroll
    for (int i = 0; i < 9; ++i) {
        const int by_y = min(max(row + i % 3 - 1, 0), n_y - 1), by_x = min(max(column + i / 3 - 1, 0), n_x - 1);
        at.places[i] = (Index)by_y * n_x + by_x;
    }
    const int from = first + blockIdx.x / (tiles_x * tiles_y) * deep;
    at.to = min(from + deep, last);
    Nine a, b, c, d;
    read_nine(at, from - 1, a);
    read_nine(at, from, b);
    // of four planes the nines are where they were: no register is copied
    for (int z = from; z < at.to; z += 4) {
        make_pair(at, z, a, b, c, d);
        if (z + 2 < at.to) {
            make_pair(at, z + 2, c, d, a, b);
        }
    }
}
