// Chambolle's projection, each thread a column of voxels along z.
//
// A step reads the image and the dual field of the step before, and writes the dual field: what lies
// between them, u = f + div p, is made again in the registers of every thread that needs it. To be
// compiled without fused multiply-adds: then the numbers are those of the host to the last bit. The
// compiler is told by WIDE whether places need 64 bits.

#if WIDE
typedef long long Index;
#else
typedef int Index;
#endif

struct Field {
    const float* z;
    const float* y;
    const float* x;
};

struct Part {
    float z, y, x;
};

// The dual field at a voxel, and u there, given the part of the field along z one plane below.
__device__ __forceinline__ float primal(const float* f, const Field& p, Index i, int n_x, bool has_row_before,
                                        bool has_column_before, float below_z, Part& own)
{
    own.z = p.z[i];
    own.y = p.y[i];
    own.x = p.x[i];
    const float before_y = has_row_before ? p.y[i - n_x] : 0.0f;
    const float before_x = has_column_before ? p.x[i - 1] : 0.0f;
    return f[i] - (own.z - below_z) - (own.y - before_y) - (own.x - before_x);
}

struct Column {
    int y, x, from, to;
};

// The column of a thread; it may lie beyond the image.
__device__ __forceinline__ Column column_of(int n_z, int n_y, int n_x, int deep)
{
    const int tiles_x = (n_x + blockDim.x - 1) / blockDim.x;
    const int tiles_y = (n_y + blockDim.y - 1) / blockDim.y;
    const int tile = blockIdx.x % (tiles_x * tiles_y);
    Column column;
    column.x = tile % tiles_x * blockDim.x + threadIdx.x;
    column.y = tile / tiles_x * blockDim.y + threadIdx.y;
    column.from = blockIdx.x / (tiles_x * tiles_y) * deep;
    column.to = min(column.from + deep, n_z);
    return column;
}

// One step: p becomes (p - tau grad u) / (1 + ratio |grad u|), ratio being tau over the weight.
extern "C" __global__ void __launch_bounds__(256)
chambolle_step(const float* __restrict__ f, const float* __restrict__ p_z, const float* __restrict__ p_y,
               const float* __restrict__ p_x, float* __restrict__ q_z, float* __restrict__ q_y,
               float* __restrict__ q_x, int n_z, int n_y, int n_x, float tau, float ratio, int deep)
{
    const Column column = column_of(n_z, n_y, n_x, deep);
    if (column.y >= n_y || column.x >= n_x) {
        return;
    }
    const bool has_right = column.x + 1 < n_x, has_below = column.y + 1 < n_y;
    const bool has_left = column.x > 0, has_above = column.y > 0;
    const Field p = {p_z, p_y, p_x};
    const Index plane = (Index)n_y * n_x;
    Index i = column.from * plane + (Index)column.y * n_x + column.x;
    Part here, ahead, beside;
    float z_right = 0.0f, z_under = 0.0f, z_own = 0.0f;
    if (column.from > 0) {
        z_own = p.z[i - plane];
        z_right = has_right ? p.z[i - plane + 1] : 0.0f;
        z_under = has_below ? p.z[i - plane + n_x] : 0.0f;
    }
    float u = primal(f, p, i, n_x, has_above, has_left, z_own, here);
    for (int z = column.from; z < column.to; ++z, i += plane) {
        // beyond the last plane, row and column there is no slope
        float next = u, under = u, right = u;
        if (z + 1 < n_z) {
            next = primal(f, p, i + plane, n_x, has_above, has_left, here.z, ahead);
        }
        if (has_below) {
            under = primal(f, p, i + n_x, n_x, true, has_left, z_under, beside);
            z_under = beside.z;
        }
        if (has_right) {
            right = primal(f, p, i + 1, n_x, has_above, true, z_right, beside);
            z_right = beside.z;
        }
        const float g_z = next - u, g_y = under - u, g_x = has_right ? right - u : 0.0f;
        const float scale = 1.0f / (1.0f + ratio * sqrtf(g_z * g_z + g_y * g_y + g_x * g_x));
        q_z[i] = (here.z - tau * g_z) * scale;
        q_y[i] = (here.y - tau * g_y) * scale;
        q_x[i] = (here.x - tau * g_x) * scale;
        u = next;
        here = ahead;
    }
}

// u = f + div p.
extern "C" __global__ void __launch_bounds__(256)
chambolle_image(const float* __restrict__ f, const float* __restrict__ p_z, const float* __restrict__ p_y,
                const float* __restrict__ p_x, float* __restrict__ u, int n_z, int n_y, int n_x, int deep)
{
    const Column column = column_of(n_z, n_y, n_x, deep);
    if (column.y >= n_y || column.x >= n_x) {
        return;
    }
    const Field p = {p_z, p_y, p_x};
    const Index plane = (Index)n_y * n_x;
    Index i = column.from * plane + (Index)column.y * n_x + column.x;
    Part here;
    float below_z = column.from > 0 ? p.z[i - plane] : 0.0f;
    for (int z = column.from; z < column.to; ++z, i += plane) {
        u[i] = primal(f, p, i, n_x, column.y > 0, column.x > 0, below_z, here);
        below_z = here.z;
    }
}
