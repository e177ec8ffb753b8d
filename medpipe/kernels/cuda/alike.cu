// Weighted means over what looks alike: a thread makes PLANES x ROWS voxels beside each other along z and y.
//
// A warp lies along x. Each thread holds the voxels around its own in registers and goes through all
// shifts: it reads as many voxels a shift away, sums up squared differences along y and z by itself,
// and along x with what the threads beside it have. Threads of a warp wait for none but each other.
//
// The compiler is told PLANES, ROWS, half the cube that is compared (HALF_Z, HALF_Y, HALF_X), and by
// SQUARED whether means are of squares. HALF_X threads at either end of a warp make no voxel.

constexpr int WARP = 32;
constexpr int MADE = WARP - 2 * HALF_X;
constexpr int DEEP = PLANES + 2 * HALF_Z;
constexpr int HIGH = ROWS + 2 * HALF_Y;

// The closeness of a shift stands at its place in the window, whose middle is the voxel itself.
extern "C" __global__ void __launch_bounds__(128)
means_of_alike(const float* __restrict__ wide, const float* __restrict__ closeness, float* __restrict__ result,
               int n_z, int n_y, int n_x, int wide_y, int wide_x, int reach_z, int reach_y, int reach_x, float scale,
               float free)
{
    const int lane = threadIdx.x;
    const int tiles_x = (n_x + MADE - 1) / MADE;
    const int tiles_y = (n_y + ROWS * blockDim.y - 1) / (ROWS * blockDim.y);
    const int tile = blockIdx.x % (tiles_x * tiles_y);
    const int first_x = tile % tiles_x * MADE;
    const int first_y = (tile / tiles_x * blockDim.y + threadIdx.y) * ROWS;
    const int first_z = blockIdx.x / (tiles_x * tiles_y) * PLANES;
    // whole warps leave
    if (first_y >= n_y) {
        return;
    }
    const long long plane = (long long)wide_y * wide_x;
    const float* corner = wide + (first_z + reach_z) * plane + (long long)(first_y + reach_y) * wide_x
                          + (first_x + reach_x + lane);
    float here[DEEP][HIGH];
#pragma unroll
    for (int p = 0; p < DEEP; ++p) {
#pragma unroll
        for (int r = 0; r < HIGH; ++r) {
            here[p][r] = corner[p * plane + r * wide_x];
        }
    }
    float total[PLANES][ROWS], weights[PLANES][ROWS];
#pragma unroll
    for (int p = 0; p < PLANES; ++p) {
#pragma unroll
        for (int r = 0; r < ROWS; ++r) {
            total[p][r] = 0.0f;
            weights[p][r] = 0.0f;
        }
    }
    for (int dz = -reach_z; dz <= reach_z; ++dz) {
        for (int dy = -reach_y; dy <= reach_y; ++dy) {
            for (int dx = -reach_x; dx <= reach_x; ++dx) {
                const float close = *closeness++;
                if (close == 0.0f || (dz == 0 && dy == 0 && dx == 0)) {
                    continue;
                }
                const float* there = corner + dz * plane + ((long long)dy * wide_x + dx);
                float sums[DEEP][ROWS], given[PLANES][ROWS];
#pragma unroll
                for (int p = 0; p < DEEP; ++p) {
                    float squares[HIGH];
#pragma unroll
                    for (int r = 0; r < HIGH; ++r) {
                        const float other = there[p * plane + r * wide_x];
                        const float difference = here[p][r] - other;
                        squares[r] = difference * difference;
                        if (p >= HALF_Z && p < HALF_Z + PLANES && r >= HALF_Y && r < HALF_Y + ROWS) {
                            given[p - HALF_Z][r - HALF_Y] = other;
                        }
                    }
#pragma unroll
                    for (int r = 0; r < ROWS; ++r) {
                        sums[p][r] = squares[r];
#pragma unroll
                        for (int k = 1; k <= 2 * HALF_Y; ++k) {
                            sums[p][r] += squares[r + k];
                        }
                    }
                }
#pragma unroll
                for (int p = 0; p < PLANES; ++p) {
#pragma unroll
                    for (int r = 0; r < ROWS; ++r) {
                        float box = sums[p][r];
#pragma unroll
                        for (int k = 1; k <= 2 * HALF_Z; ++k) {
                            box += sums[p + k][r];
                        }
                        float distance = box;
#pragma unroll
                        for (int k = 1; k <= HALF_X; ++k) {
                            distance += __shfl_up_sync(0xffffffffu, box, k) + __shfl_down_sync(0xffffffffu, box, k);
                        }
                        // never 0, which of an infinity makes no number; two infinities are alike
                        const float past = fminf(fmaxf(distance * scale - free, 0.0f), 126.0f);
                        const float weight = close * exp2f(-past);
                        const float value = given[p][r];
                        total[p][r] += weight * (SQUARED ? value * value : value);
                        weights[p][r] += weight;
                    }
                }
            }
        }
    }
    const int column = first_x + lane - HALF_X;
    if (lane < HALF_X || lane >= WARP - HALF_X || column >= n_x) {
        return;
    }
#pragma unroll
    for (int p = 0; p < PLANES; ++p) {
#pragma unroll
        for (int r = 0; r < ROWS; ++r) {
            if (first_z + p < n_z && first_y + r < n_y) {
                // a voxel is like itself
                const float own = here[p + HALF_Z][r + HALF_Y];
                result[((long long)(first_z + p) * n_y + first_y + r) * n_x + column] =
                    (total[p][r] + (SQUARED ? own * own : own)) / (weights[p][r] + 1.0f);
            }
        }
    }
}
