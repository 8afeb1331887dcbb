/* detector_quantile: the incomplete beta function, and Newton's method on its logarithm. */
#include "detector_quantile.h"

#include <math.h>
#include <stdbool.h>

/* lgamma(z) less the first terms of Stirling's series, (z - 1/2) log z - z + log(2 pi) / 2. */
static double stirling_error(double z) {
    if (z < 8) {
        int sign;
        return lgamma_r(z, &sign) - ((z - .5) * log(z) - z + .91893853320467274178);
    }
    double r = 1 / z, r2 = r * r, small = 1. / 1680 - r2 * (1. / 1188 - r2 * 691. / 360360);
    return r * (1. / 12 - r2 * (1. / 360 - r2 * (1. / 1260 - r2 * small)));
}

/* n log(x n / a): what the point x is off the mode a / n. */
static double off_mode(double a, double n, double x) {
    double ratio = (x * n - a) / a;
    return a * (fabs(ratio) < .5 ? log1p(ratio) : log(x * n / a));
}

/* x^a y^b / B(a, b), y = 1 - x. */
static double factor(double a, double b, double x, double y) {
    double n = a + b, error = stirling_error(n) - stirling_error(a) - stirling_error(b);
    return sqrt(a * b / (2 * M_PI * n)) * exp(off_mode(a, n, x) + off_mode(b, n, y) + error);
}

/* The continued fraction of I_x(a, b) by Lentz's method; fast for x below (a + 1) / (a + b + 2). */
static double fraction(double a, double b, double x) {
    const double tiny = 1e-300;
    double c = 1, d = 1 - (a + b) * x / (a + 1);
    d = 1 / (fabs(d) < tiny ? tiny : d);
    double value = d;
    for (int m = 1; m < 100000; m++) {
        double term = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
        d = 1 + term * d;
        c = 1 + term / c;
        d = 1 / (fabs(d) < tiny ? tiny : d);
        if (fabs(c) < tiny) c = tiny;
        value *= d * c;
        term = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
        d = 1 + term * d;
        c = 1 + term / c;
        d = 1 / (fabs(d) < tiny ? tiny : d);
        if (fabs(c) < tiny) c = tiny;
        double step = d * c;
        value *= step;
        if (fabs(step - 1) < 2e-16) break;
    }
    return value;
}

/* I_x(a, b), and in *front the factor, which is x y times its derivative. */
static double incomplete_beta(double a, double b, double x, double y, double *front) {
    *front = 0;
    if (!(x > 0)) return 0;
    if (!(y > 0)) return 1;
    *front = factor(a, b, x, y);
    if (x < (a + 1) / (a + b + 2)) return *front * fraction(a, b, x) / a;
    return 1 - *front * fraction(b, a, y) / b;
}

/* Both tails at a point u, and minus the derivative of the tail: of t > 0 at u = t, of f at u = log f. */
struct law {
    double df1, df2; /* df1 is 0 for Student's t */
};

static double tail_at(const struct law *law, double u, double *slope) {
    double front, tail;
    if (law->df1 == 0) {
        double sum = law->df2 + u * u;
        tail = .5 * incomplete_beta(.5 * law->df2, .5, law->df2 / sum, u * u / sum, &front);
        *slope = front / u;
        return tail;
    }
    double up = law->df1 * exp(u), sum = law->df2 + up;
    tail = incomplete_beta(.5 * law->df2, .5 * law->df1, law->df2 / sum, up / sum, &front);
    *slope = front;
    return tail;
}

/* The u where the tail is `tail`, from a guess; `least` bounds u from below. */
static double solve(const struct law *law, double tail, double u, double least) {
    double low = least, high = INFINITY;
    for (int i = 0; i < 200; i++) {
        double slope, here = tail_at(law, u, &slope);
        if (here > tail)
            low = u;
        else
            high = u;
        /* Newton on log(tail); where the tail or its slope has vanished, a bisection. */
        double step = here > 0 && slope > 0 ? log(here / tail) * here / slope : NAN, next = u + step;
        if (fabs(step) < 1e-8 * (1 + fabs(u))) return next; /* the error of what follows is the square of this */
        bool kept = next > low && next < high && fabs(step) < 2 + fabs(u);
        if (!kept && isinf(high))
            next = u + 1 + fabs(u);
        else if (!kept)
            next = isinf(low) ? u - 1 - fabs(u) : .5 * (low + high);
        if (next == u) return u;
        u = next;
    }
    return u;
}

/* The normal quantile of a tail below 1/2 to 5e-4 (Abramowitz, Stegun 26.2.23): where to begin. */
static double normal_guess(double tail) {
    double t = sqrt(-2 * log(tail));
    return t - (2.515517 + t * (.802853 + t * .010328)) / (1 + t * (1.432788 + t * (.189269 + t * .001308)));
}

double ta_t_tail(double t, double df) {
    double slope;
    if (t == 0) return .5;
    double tail = tail_at(&(struct law){.df2 = df}, fabs(t), &slope);
    return t > 0 ? tail : 1 - tail;
}

double ta_f_tail(double f, double df1, double df2) {
    double slope;
    return f > 0 ? tail_at(&(struct law){df1, df2}, log(f), &slope) : 1;
}

double ta_t_quantile(double tail, double df, double near) {
    if (tail == .5) return 0;
    if (tail > .5) return -ta_t_quantile(1 - tail, df, -near);
    if (!(near > 0)) {
        double z = normal_guess(tail);
        near = z + (z * z + 1) * z / (4 * df);
    }
    return solve(&(struct law){.df2 = df}, tail, near, 0);
}

double ta_f_quantile(double tail, double df1, double df2, double near) {
    /* Newton is at its best in a small tail; the other one is that of 1 / F. */
    if (tail > .5) return 1 / ta_f_quantile(1 - tail, df2, df1, near > 0 ? 1 / near : 0);
    double u = 0;
    if (near > 0) {
        u = log(near);
    } else {
        /* Paulson's cube root, where it gives a positive number. */
        double z = normal_guess(tail);
        double a = 2 / (9 * df1), b = 2 / (9 * df2), under = (1 - b) * (1 - b) - z * z * b;
        double root = (1 - b) * (1 - b) * a + (1 - a) * (1 - a) * b - a * b * z * z;
        double cube = under > 0 && root > 0 ? ((1 - a) * (1 - b) + z * sqrt(root)) / under : 0;
        if (cube > .01) u = 3 * log(cube);
    }
    return exp(solve(&(struct law){df1, df2}, tail, u, -INFINITY));
}
