__device__ __forceinline__ int mirrored(int place, int n)
{
    if (n == 1) {
        return 0;
    }
    while (place < 0 || place >= n) {
        place = place < 0 ? -place : 2 * (n - 1) - place;
    }
    return place;
}

// The image with what lies around it, the edge voxel being the mirror; the image begins at the margins.
extern "C" __global__ void __launch_bounds__(256)
surroundings(const float* __restrict__ x, float* __restrict__ wide, int n_z, int n_y, int n_x, int wide_z, int wide_y,
             int wide_x, int margin_z, int margin_y, int margin_x)
{
    const int tiles = (wide_x + blockDim.x - 1) / blockDim.x;
    const int column = blockIdx.x % tiles * blockDim.x + threadIdx.x;
    const long long line = (long long)(blockIdx.x / tiles) * blockDim.y + threadIdx.y;
    if (column >= wide_x || line >= (long long)wide_z * wide_y) {
        return;
    }
    const int z = mirrored((int)(line / wide_y) - margin_z, n_z);
    const int y = mirrored((int)(line % wide_y) - margin_y, n_y);
    wide[line * wide_x + column] = x[((long long)z * n_y + y) * n_x + mirrored(column - margin_x, n_x)];
}
