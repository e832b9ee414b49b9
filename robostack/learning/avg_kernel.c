/* One act and one update of Action Value Gradient: robostack/learning/avg.py in plain loops, on the same arrays.
 *
 * avg.py says what is computed and why; here is how it is made fast:
 *
 *  - A weight gradient is the outer product delta x^T. It is never stored: Adam forms each entry as it passes over the
 *    weights, so that weights and second moments are read once and written once per step.
 *  - |delta x^T|^2 = |delta|^2 |x|^2, so that a step that is not finite is known, and refused, before any weight moves.
 *  - One forward pass gives Q(s, a) and Q(s', a'): both use each weight while it is at hand.
 *  - One backward pass of the critic gives dQ/da for the actor and the deltas of dQ/dw.
 *
 * Nothing is allocated, no random number is drawn: numpy made every array and drew the noise. The functions below stand
 * in this file once and are compiled twice, for float (names end in 32) and double (64). On x86-64 with glibc the loops
 * over weights are compiled for AVX-512, for AVX with FMA and for any processor; the loader takes the best that runs.
 */

#ifndef REAL

#include <float.h>
#include <math.h>
#include <stdint.h>

#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(AVG_ONE_TARGET)
#include <immintrin.h>
#define X86
#define LOOPS __attribute__((target_clones("avx512f", "fma", "default")))
#else
#define LOOPS
#endif

enum { FINITE = 0, OBSERVATION_NOT_FINITE = 1, STEP_NOT_FINITE = 2 };

/* Running mean and population variance of a scalar: count, mean, sum of squared differences from the mean. */
typedef struct { double count, mean, deviation; } Moments;

/* Statistics behind the scale of temporal-difference errors; laid out as TdScale.state. */
typedef struct { Moments reward, discount, squared_return; double episode_return; } TdScale;

/* Observation statistics, and the last observation as measured and normalised; each array (size,) but count (1,). */
typedef struct { int64_t size; double epsilon, *count, *mean, *variance, *raw, *normalized; } Normalizer;

/* One draw a = tanh(mu + deviation noise); deviation = exp(factor l). Arrays (num_actions,). */
typedef struct { int64_t size; double factor, *noise, *deviation, *action, log_probability; } Draw;

/* From (-1, 1) to the action bounds; arrays (num_actions,), result in `bounded`. */
typedef struct { int64_t mapped; double *low, *high, *center, *half, *bounded; } Bounds;

/* A network h_l = LeakyReLU(W_l [h_{l-1}; 1]), phi = h_L / sqrt(|h_L|^2 + epsilon^2), y = W [phi; 1]. The matrices
 * follow one another in `parameters` row by row, and so do Adam's moments: of hidden layers the transpose, (fan_in + 1,
 * fan_out), of the output layer itself, (fan_out, fan_in + 1), so that rows are as long as a hidden layer. */
typedef struct {
    int64_t layers; /* matrices: hidden layers + 1 */
    int64_t *sizes; /* lengths of x, of each hidden layer, of y */
    double epsilon, beta1, beta2, adam_epsilon, average;
    int64_t *steps;                              /* Adam steps taken */
    void *parameters, *first, *second, *averaged; /* first: none if beta1 = 0; averaged: none if average = 0 */
} Network;

/* Buffers of one pass; see Pass in networks.py. */
typedef struct { void **inputs, **hidden, **deltas, *output; double norm; } Pass;

/* Everything; filled in by kernel.py, which repeats these fields in this order. */
typedef struct {
    Network actor, critic;
    Pass now, next, value, next_value; /* actor at s and s', critic at (s, a) and (s', a') */
    Draw drawn, fresh;                 /* a and a' */
    Normalizer normalizer;
    TdScale *td_scale;
    Bounds bounds;
    double *observation; /* input of act and update */
    double leak, log_min, log_max, discount, variance_min, variance_trusted;
    int64_t reset_on_truncation;
    double td_error, sigma, q, log_probability; /* output of update */
} Avg;

int64_t avg_bytes(void)
{
    return sizeof(Avg);
}

/* Keeps what is undefined. */
static double clamp(double value, double low, double high)
{
    return value < low ? low : value > high ? high : value;
}

static int all_finite(const double *values, int64_t size)
{
    double sum = 0.0; /* 0 x = NaN for an infinite or undefined x */
    for (int64_t i = 0; i < size; i++)
        sum += 0.0 * values[i];
    return sum == 0.0;
}

/* Take the observation into the statistics, then normalise it by them. */
LOOPS static void perceive(Normalizer *n, const double *restrict observation)
{
    double *restrict mean = n->mean, *restrict variance = n->variance, *restrict raw = n->raw;
    double *restrict normalized = n->normalized, epsilon = n->epsilon;
    double share = 1.0 / (*n->count + 1.0), rest = *n->count * share;
    for (int64_t i = 0; i < n->size; i++) {
        double difference = observation[i] - mean[i];
        raw[i] = observation[i];
        mean[i] += share * difference;
        variance[i] = rest * (variance[i] + share * difference * difference);
        normalized[i] = (observation[i] - mean[i]) / sqrt(variance[i] + epsilon);
    }
    *n->count += 1.0;
}

static void push(Moments *m, double value)
{
    double difference = value - m->mean;
    m->count += 1.0;
    m->mean += difference / m->count;
    m->deviation += difference * (value - m->mean);
}

/* sigma of sigma^2 = Var[r] + Var[gamma] E[G^2], after this step's reward (with entropy bonus). */
static double td_scale(const Avg *avg, double reward, int terminated, int truncated)
{
    TdScale *s = avg->td_scale;
    push(&s->reward, reward);
    push(&s->discount, terminated ? 0.0 : avg->discount);
    s->episode_return += reward;
    if (terminated)
        push(&s->squared_return, s->episode_return * s->episode_return);
    if (terminated || (truncated && avg->reset_on_truncation))
        s->episode_return = 0.0;
    double variance = s->reward.deviation / s->reward.count
                    + s->discount.deviation / s->discount.count * s->squared_return.mean;
    variance = fmax(variance, avg->variance_min);
    return variance <= avg->variance_trusted && s->squared_return.count == 0.0 ? 1.0 : sqrt(variance);
}

#ifdef X86
#define AVX512 __attribute__((target("avx512f")))
#endif
#define REAL float
#define REAL_MAX FLT_MAX
#define SQRT sqrtf
#define NAME(name) name##32
#include "avg_kernel.c"
#undef AVX512
#undef REAL
#undef REAL_MAX
#undef SQRT
#undef NAME
#define REAL double
#define REAL_MAX DBL_MAX
#define SQRT sqrt
#define NAME(name) name##64
#include "avg_kernel.c"

#else /* what follows is compiled for each REAL */

/* y = W x, W (rows, columns) with `pitch` entries from row to row. */
LOOPS static void NAME(across)(const REAL *restrict w, const REAL *restrict x, REAL *restrict y,
                               int64_t rows, int64_t columns, int64_t pitch)
{
    int64_t i = 0;
    for (; i + 4 <= rows; i += 4, w += 4 * pitch) {
        const REAL *wb = w + pitch, *wc = wb + pitch, *wd = wc + pitch;
        REAL a = 0, b = 0, c = 0, d = 0;
#pragma omp simd reduction(+ : a, b, c, d)
        for (int64_t j = 0; j < columns; j++)
            a += w[j] * x[j], b += wb[j] * x[j], c += wc[j] * x[j], d += wd[j] * x[j];
        y[i] = a, y[i + 1] = b, y[i + 2] = c, y[i + 3] = d;
    }
    for (; i < rows; i++, w += pitch) {
        REAL a = 0;
#pragma omp simd reduction(+ : a)
        for (int64_t j = 0; j < columns; j++)
            a += w[j] * x[j];
        y[i] = a;
    }
}

/* y = x W, W (rows, columns) with `pitch` entries from row to row. */
LOOPS static void NAME(down)(const REAL *restrict w, const REAL *restrict x, REAL *restrict y,
                             int64_t rows, int64_t columns, int64_t pitch)
{
    int64_t i = 0;
    for (int64_t j = 0; j < columns; j++)
        y[j] = 0;
    for (; i + 4 <= rows; i += 4, w += 4 * pitch) {
        const REAL *wb = w + pitch, *wc = wb + pitch, *wd = wc + pitch;
        REAL a = x[i], b = x[i + 1], c = x[i + 2], d = x[i + 3];
        for (int64_t j = 0; j < columns; j++)
            y[j] += (a * w[j] + b * wb[j]) + (c * wc[j] + d * wd[j]);
    }
    for (; i < rows; i++, w += pitch)
        for (int64_t j = 0; j < columns; j++)
            y[j] += x[i] * w[j];
}

/* The same for two x at once, W without gaps. */
LOOPS static void NAME(down2)(const REAL *restrict w, const REAL *restrict x1, const REAL *restrict x2,
                              REAL *restrict y1, REAL *restrict y2, int64_t rows, int64_t columns)
{
    int64_t i = 0;
    for (int64_t j = 0; j < columns; j++)
        y1[j] = y2[j] = 0;
    for (; i + 4 <= rows; i += 4, w += 4 * columns) {
        const REAL *wb = w + columns, *wc = wb + columns, *wd = wc + columns;
        REAL a1 = x1[i], b1 = x1[i + 1], c1 = x1[i + 2], d1 = x1[i + 3];
        REAL a2 = x2[i], b2 = x2[i + 1], c2 = x2[i + 2], d2 = x2[i + 3];
        for (int64_t j = 0; j < columns; j++) {
            y1[j] += (a1 * w[j] + b1 * wb[j]) + (c1 * wc[j] + d1 * wd[j]);
            y2[j] += (a2 * w[j] + b2 * wb[j]) + (c2 * wc[j] + d2 * wd[j]);
        }
    }
    for (; i < rows; i++, w += columns)
        for (int64_t j = 0; j < columns; j++)
            y1[j] += x1[i] * w[j], y2[j] += x2[i] * w[j];
}

LOOPS static REAL NAME(dot)(const REAL *restrict a, const REAL *restrict b, int64_t size)
{
    REAL sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t j = 0; j < size; j++)
        sum += a[j] * b[j];
    return sum;
}

/* Adam without first moment on W (rows, columns) for the gradient d x^T. With n = v / (1 - beta2):
 * n <- beta2 n + g^2,  w <- w - rate g / (sqrt(n) + epsilon). */
LOOPS static void NAME(adam)(REAL *restrict w, REAL *restrict n, const REAL *restrict d, const REAL *restrict x,
                             int64_t rows, int64_t columns, REAL beta2, REAL rate, REAL epsilon)
{
    for (int64_t i = 0; i < rows; i++, w += columns, n += columns)
        for (int64_t j = 0; j < columns; j++) {
            REAL g = d[i] * x[j], second = beta2 * n[j] + g * g;
            n[j] = second;
            w[j] -= rate * (g / (SQRT(second) + epsilon));
        }
}

#ifdef AVX512
/* The same for float, faster: sqrt(n) from the processor's estimate of 1 / sqrt(n), refined once to full precision. What
 * lies below FLT_MIN counts as nothing beside epsilon. */
AVX512 static void NAME(adam_avx512)(REAL *restrict w, REAL *restrict n, const REAL *restrict d,
                                     const REAL *restrict x, int64_t rows, int64_t columns, REAL beta2, REAL rate,
                                     REAL epsilon)
{
    const __m512 half = _mm512_set1_ps(0.5f), small = _mm512_set1_ps(FLT_MIN);
    const __m512 decay = _mm512_set1_ps(beta2), size = _mm512_set1_ps(rate), bias = _mm512_set1_ps(epsilon);
    for (int64_t i = 0; i < rows; i++, w += columns, n += columns) {
        const __m512 row = _mm512_set1_ps(d[i]);
        int64_t j = 0;
        for (; j + 16 <= columns; j += 16) {
            __m512 g = _mm512_mul_ps(row, _mm512_loadu_ps(x + j));
            __m512 second = _mm512_fmadd_ps(decay, _mm512_loadu_ps(n + j), _mm512_mul_ps(g, g));
            __m512 estimate = _mm512_rsqrt14_ps(_mm512_max_ps(second, small));
            __m512 root = _mm512_mul_ps(second, estimate);
            __m512 error = _mm512_fnmadd_ps(root, _mm512_mul_ps(half, estimate), half);
            __m512 move = _mm512_div_ps(g, _mm512_add_ps(_mm512_fmadd_ps(root, error, root), bias));
            _mm512_storeu_ps(n + j, second);
            _mm512_storeu_ps(w + j, _mm512_fnmadd_ps(size, move, _mm512_loadu_ps(w + j)));
        }
        for (; j < columns; j++) {
            REAL g = d[i] * x[j], second = beta2 * n[j] + g * g;
            n[j] = second;
            w[j] -= rate * (g / (SQRT(second) + epsilon));
        }
    }
}
#endif

/* Adam with first moment m <- m + (1 - beta1) (g - m), which takes the place of g in the step. */
LOOPS static void NAME(adam_first)(REAL *restrict w, REAL *restrict n, REAL *restrict m, const REAL *restrict d,
                                   const REAL *restrict x, int64_t rows, int64_t columns, REAL beta1, REAL beta2,
                                   REAL rate, REAL epsilon)
{
    for (int64_t i = 0; i < rows; i++, w += columns, n += columns, m += columns)
        for (int64_t j = 0; j < columns; j++) {
            REAL g = d[i] * x[j], second = beta2 * n[j] + g * g, first = m[j] + (1 - beta1) * (g - m[j]);
            n[j] = second;
            m[j] = first;
            w[j] -= rate * (first / (SQRT(second) + epsilon));
        }
}

/* average <- average + share (w - average). */
LOOPS static void NAME(follow)(REAL *restrict average, const REAL *restrict w, int64_t size, REAL share)
{
    for (int64_t j = 0; j < size; j++)
        average[j] += share * (w[j] - average[j]);
}

/* LeakyReLU, in place; of the last hidden layer also the normalisation. The result is the next layer's input. */
static void NAME(activate)(const Network *net, Pass *run, int64_t layer, double leak)
{
    int64_t size = net->sizes[layer + 1];
    REAL *h = run->hidden[layer], *next = run->inputs[layer + 1], slope = (REAL)leak, scale = 1;
    for (int64_t j = 0; j < size; j++)
        h[j] = h[j] > slope * h[j] ? h[j] : slope * h[j];
    if (layer == net->layers - 2) {
        run->norm = sqrt((double)(REAL)(NAME(dot)(h, h, size) + net->epsilon * net->epsilon));
        scale = (REAL)(1.0 / run->norm);
    }
    for (int64_t j = 0; j < size; j++)
        next[j] = scale * h[j];
}

/* Forward pass of one input, or of two when `other` is there. */
static void NAME(forward)(const Network *net, Pass *run, Pass *other, double leak)
{
    const REAL *w = net->parameters;
    int64_t last = net->layers - 1, length = net->sizes[last] + 1;
    for (int64_t layer = 0; layer < last; layer++) {
        int64_t rows = net->sizes[layer] + 1, columns = net->sizes[layer + 1];
        if (other) {
            NAME(down2)(w, run->inputs[layer], other->inputs[layer], run->hidden[layer], other->hidden[layer], rows,
                        columns);
            NAME(activate)(net, other, layer, leak);
        } else {
            NAME(down)(w, run->inputs[layer], run->hidden[layer], rows, columns, columns);
        }
        NAME(activate)(net, run, layer, leak);
        w += rows * columns;
    }
    NAME(across)(w, run->inputs[last], run->output, net->sizes[last + 1], length, length);
    if (other)
        NAME(across)(w, other->inputs[last], other->output, net->sizes[last + 1], length, length);
}

/* From the delta of the output layer to that of each hidden one. */
static void NAME(backward)(const Network *net, Pass *run, double leak)
{
    const REAL *w = net->parameters;
    for (int64_t layer = 0; layer < net->layers - 1; layer++)
        w += net->sizes[layer + 1] * (net->sizes[layer] + 1);
    for (int64_t layer = net->layers - 2; layer >= 0; layer--) {
        int64_t size = net->sizes[layer + 1], above = net->sizes[layer + 2];
        REAL *d = run->deltas[layer], *h = run->hidden[layer], slope = (REAL)leak;
        if (layer < net->layers - 2) {
            NAME(across)(w, run->deltas[layer + 1], d, size, above, above);
        } else { /* d phi / d h = (I - phi phi^T) / |h| */
            NAME(down)(w, run->deltas[layer + 1], d, above, size, size + 1);
            REAL *phi = run->inputs[layer + 1], along = NAME(dot)(phi, d, size), scale = (REAL)(1.0 / run->norm);
            for (int64_t j = 0; j < size; j++)
                d[j] = (d[j] - along * phi[j]) * scale;
        }
        for (int64_t j = 0; j < size; j++) /* LeakyReLU keeps the sign */
            d[j] *= h[j] > 0 ? 1 : slope;
        w -= size * (net->sizes[layer] + 1);
    }
}

/* Multiply every delta by `scale`; returns the squared length of the gradient they then stand for. */
static double NAME(scaled)(const Network *net, Pass *run, double scale)
{
    double total = 0.0;
    for (int64_t layer = 0; layer < net->layers; layer++) {
        int64_t rows = net->sizes[layer + 1], columns = net->sizes[layer] + 1;
        REAL *d = run->deltas[layer], *x = run->inputs[layer];
        for (int64_t i = 0; i < rows; i++)
            d[i] *= (REAL)scale;
        total += (double)NAME(dot)(d, d, rows) * (double)NAME(dot)(x, x, columns);
    }
    return total;
}

static void NAME(step)(const Network *net, const Pass *run, double learning_rate)
{
    REAL *w = net->parameters, *n = net->second, *m = net->first, *average = net->averaged;
    double steps = (double)++*net->steps;
    double root = sqrt((1.0 - net->beta2) / (1.0 - pow(net->beta2, steps)));
    double rate = learning_rate / root / (net->beta1 > 0.0 ? 1.0 - pow(net->beta1, steps) : 1.0);
    REAL beta2 = (REAL)net->beta2, epsilon = (REAL)(net->adam_epsilon / root);
    for (int64_t layer = 0; layer < net->layers; layer++) {
        int last = layer == net->layers - 1;
        int64_t rows = last ? net->sizes[layer + 1] : net->sizes[layer] + 1;
        int64_t columns = last ? net->sizes[layer] + 1 : net->sizes[layer + 1], size = rows * columns;
        const REAL *d = last ? run->deltas[layer] : run->inputs[layer];
        const REAL *x = last ? run->inputs[layer] : run->deltas[layer];
        if (net->beta1 > 0.0) {
            NAME(adam_first)(w, n, m, d, x, rows, columns, (REAL)net->beta1, beta2, (REAL)rate, epsilon);
            m += size;
#ifdef AVX512
        } else if (__builtin_cpu_supports("avx512f")) {
            NAME(adam_avx512)(w, n, d, x, rows, columns, beta2, (REAL)rate, epsilon);
#endif
        } else {
            NAME(adam)(w, n, d, x, rows, columns, beta2, (REAL)rate, epsilon);
        }
        if (net->average > 0.0) {
            NAME(follow)(average, w, size, (REAL)(1.0 - net->average));
            average += size;
        }
        w += size, n += size;
    }
}

/* Draw from the heads (mu, l): the action and its log-probability. */
static void NAME(draw)(const Avg *avg, Draw *draw, const REAL *heads)
{
    static const double log_two = 0.69314718055994530942, half_log_two_pi = 0.91893853320467274178;
    double total = 0.0;
    for (int64_t i = 0; i < draw->size; i++) {
        double log_head = clamp((double)heads[draw->size + i], avg->log_min, avg->log_max), noise = draw->noise[i];
        double deviation = exp(draw->factor * log_head), u = (double)heads[i] + deviation * noise;
        /* log(1 - tanh(u)^2) = 2 (log 2 - u - softplus(-2u)), which does not underflow */
        double softplus = fmax(-2.0 * u, 0.0) + log1p(exp(-fabs(2.0 * u)));
        draw->deviation[i] = deviation;
        draw->action[i] = tanh(u);
        total += -0.5 * noise * noise - draw->factor * log_head - half_log_two_pi - 2.0 * (log_two - u - softplus);
    }
    draw->log_probability = total;
}

/* Gradient of alpha log pi(a|s) - Q(s, a) by the heads, through the drawn a; `slope` is dQ/da. */
static void NAME(actor_delta)(const Avg *avg, const Draw *draw, const REAL *heads, const REAL *slope, double alpha,
                              REAL *delta)
{
    for (int64_t i = 0; i < draw->size; i++) {
        double a = draw->action[i], log_head = (double)heads[draw->size + i];
        double by_u = 2.0 * alpha * a - (1.0 - a * a) * (double)slope[i];
        int free = log_head >= avg->log_min && log_head <= avg->log_max;
        delta[i] = (REAL)by_u;
        delta[draw->size + i] = free ? (REAL)(draw->factor * (by_u * draw->noise[i] * draw->deviation[i] - alpha)) : 0;
    }
}

/* The observation as last normalised, followed by the action if there is one, as a network's input. */
static void NAME(enter)(const Avg *avg, Pass *run, const REAL *observation, const Draw *draw)
{
    REAL *x = run->inputs[0];
    int64_t size = avg->normalizer.size;
    for (int64_t i = 0; i < size; i++)
        x[i] = observation ? observation[i] : (REAL)avg->normalizer.normalized[i];
    for (int64_t i = 0; draw && i < draw->size; i++)
        x[size + i] = (REAL)draw->action[i];
}

/* Draw an action for `avg->observation`; it is left in `avg->bounds.bounded`. */
int NAME(avg_act)(Avg *avg)
{
    Normalizer *n = &avg->normalizer;
    const Bounds *b = &avg->bounds;
    int64_t same = 0;
    if (!all_finite(avg->observation, n->size))
        return OBSERVATION_NOT_FINITE;
    while (same < n->size && avg->observation[same] == n->raw[same])
        same++;
    if (same < n->size)
        perceive(n, avg->observation);
    NAME(enter)(avg, &avg->now, 0, 0);
    NAME(forward)(&avg->actor, &avg->now, 0, avg->leak);
    NAME(draw)(avg, &avg->drawn, avg->now.output);
    for (int64_t i = 0; i < avg->drawn.size; i++) {
        double a = avg->drawn.action[i];
        b->bounded[i] = b->mapped ? b->center[i] + b->half[i] * a : clamp(a, b->low[i], b->high[i]);
    }
    return FINITE;
}

/* Learn from what the last drawn action led to; `avg->observation` is s'. */
int NAME(avg_update)(Avg *avg, double reward, int terminated, int truncated, double alpha, double actor_rate,
                     double critic_rate)
{
    Network *actor = &avg->actor, *critic = &avg->critic;
    Pass *value = &avg->value, *next_value = &avg->next_value;
    int64_t observations = avg->normalizer.size, actions = avg->drawn.size;
    if (!isfinite(reward) || !all_finite(avg->observation, observations))
        return OBSERVATION_NOT_FINITE;
    perceive(&avg->normalizer, avg->observation);
    avg->log_probability = avg->drawn.log_probability;
    avg->sigma = td_scale(avg, reward - alpha * avg->log_probability, terminated, truncated);

    /* delta = r + gamma (Q(s', a') - alpha log pi(a'|s')) - Q(s, a), with the current weights */
    NAME(enter)(avg, &avg->next, 0, 0);
    NAME(forward)(actor, &avg->next, 0, avg->leak);
    NAME(draw)(avg, &avg->fresh, avg->next.output);
    NAME(enter)(avg, value, avg->now.inputs[0], &avg->drawn);
    NAME(enter)(avg, next_value, 0, &avg->fresh);
    NAME(forward)(critic, value, next_value, avg->leak);
    double following = (double)*(REAL *)next_value->output - alpha * avg->fresh.log_probability;
    avg->q = (double)*(REAL *)value->output;
    avg->td_error = reward + (terminated ? 0.0 : avg->discount * following) - avg->q;

    /* dQ/da, left in the part of the input of (s', a') that has done its work, then both gradients */
    REAL *slope = (REAL *)next_value->inputs[0] + observations;
    *(REAL *)value->deltas[critic->layers - 1] = 1;
    NAME(backward)(critic, value, avg->leak);
    NAME(across)((REAL *)critic->parameters + observations * critic->sizes[1], value->deltas[0], slope, actions,
                 critic->sizes[1], critic->sizes[1]);
    NAME(actor_delta)(avg, &avg->drawn, avg->now.output, slope, alpha, avg->now.deltas[actor->layers - 1]);
    NAME(backward)(actor, &avg->now, avg->leak);
    double squared = NAME(scaled)(actor, &avg->now, 1.0)
                   + NAME(scaled)(critic, value, -2.0 * avg->td_error / (avg->sigma * avg->sigma));
    if (!(squared <= REAL_MAX))
        return STEP_NOT_FINITE;
    NAME(step)(actor, &avg->now, actor_rate);
    NAME(step)(critic, value, critic_rate);
    return FINITE;
}

#endif
