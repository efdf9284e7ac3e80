/** Power spectra of real signals. */

/** A radix-2 Fourier transform of one size, a power of two. */
export class Spectrum {
  /** @param {number} size */
  constructor(size) {
    this.size = size;
    this.window = Float32Array.from({ length: size }, (_, i) => 0.5 - 0.5 * Math.cos(2 * Math.PI * i / size));
    this.cosines = Float32Array.from({ length: size / 2 }, (_, i) => Math.cos(2 * Math.PI * i / size));
    this.sines = Float32Array.from({ length: size / 2 }, (_, i) => Math.sin(2 * Math.PI * i / size));
    this.real = new Float32Array(size);
    this.imaginary = new Float32Array(size);
    this.power = new Float32Array(size / 2);
    const bits = Math.log2(size);
    this.order = Uint16Array.from({ length: size }, (_, i) => {
      let turned = 0;
      for (let bit = 0; bit < bits; bit++) turned |= (i >> bit & 1) << (bits - 1 - bit);
      return turned;
    });
  }

  /**
   * Of Hann-windowed samples; a sine of amplitude 1 has power 1 in its bin. The array is used again.
   * @param {ArrayLike<number>} samples of -1 to 1; `size` of them
   */
  of(samples) {
    const { size, real, imaginary, cosines, sines } = this;
    for (let i = 0; i < size; i++) {
      const from = this.order[i];
      real[i] = samples[from] * this.window[from];
      imaginary[i] = 0;
    }
    for (let half = 1; half < size; half *= 2) {
      const step = size / 2 / half;
      for (let first = 0; first < size; first += 2 * half) {
        for (let k = 0; k < half; k++) {
          const a = first + k;
          const b = a + half;
          const re = real[b] * cosines[k * step] + imaginary[b] * sines[k * step];
          const im = imaginary[b] * cosines[k * step] - real[b] * sines[k * step];
          real[b] = real[a] - re;
          imaginary[b] = imaginary[a] - im;
          real[a] += re;
          imaginary[a] += im;
        }
      }
    }
    const scale = (4 / size) ** 2;
    for (let i = 0; i < size / 2; i++) this.power[i] = (real[i] ** 2 + imaginary[i] ** 2) * scale;
    return this.power;
  }
}
