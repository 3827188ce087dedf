// A log of any length: only the lines in sight are in the page.
const LINE = 20; // pixels
const BLOCK = 200; // lines fetched at once
const KEPT = 40; // blocks

export default {
  template: `
<div class="log-view">
  <form class="log-view-tools" role="search" @submit.prevent="find(false)">
    <input type="search" v-model="text" :placeholder="texts.search" :aria-label="texts.search" @keydown.enter.shift.prevent="find(true)">
    <button type="button" @click="find(true)" :disabled="!text">{{ texts.previous }}</button>
    <button type="submit" :disabled="!text">{{ texts.next }}</button>
    <span class="at-muted" role="status">{{ status }}</span>
    <label class="log-view-follow"><input type="checkbox" v-model="follows" @change="toEnd"> {{ texts.follow }}</label>
    <a :href="base + '/file'" download>{{ texts.download }}</a>
  </form>
  <div class="log-view-window at-mono" ref="window" tabindex="0" role="region" :aria-label="texts.log" @scroll="scrolled">
    <p v-if="!size" class="at-muted log-view-empty">{{ texts.empty }}</p>
    <div class="log-view-room" :style="{ height: size * line + 'px' }">
      <div v-for="row in rows" :key="row.number" class="log-view-line" :class="classes(row)" :style="{ top: row.number * line + 'px' }"
        ><span class="log-view-number" aria-hidden="true">{{ row.number + 1 }}</span
        ><span><template v-for="part in parts(row.text)"><mark v-if="part.hit">{{ part.text }}</mark><template v-else>{{ part.text }}</template></template></span></div>
    </div>
  </div>
</div>`,
  props: { base: String, texts: Object },
  data() {
    return { size: 0, first: 0, count: 0, version: 0, text: "", sought: "", found: null, status: "", follows: true, line: LINE };
  },
  created() {
    this.blocks = new Map();
    this.awaited = new Set();
    this.era = 0; // a log that was begun anew is another log
    this.told = 0; // lines that the server told of, and that no answer since then has
  },
  mounted() {
    this.sizes = new ResizeObserver(() => this.look());
    this.sizes.observe(this.$refs.window);
    this.fetchBlock(0);
  },
  activated() {
    this.lastTop = 0;
    this.fetchBlock(Math.max(0, Math.floor((this.size - 1) / BLOCK))); // what grew while another tab was shown
  },
  beforeUnmount() {
    this.sizes.disconnect();
  },
  computed: {
    rows() {
      const numbers = Array.from({ length: Math.max(0, Math.min(this.count, this.size - this.first)) }, (_, i) => this.first + i);
      return this.version, numbers.map((number) => ({ number, text: this.lineAt(number) }));
    },
  },
  methods: {
    lineAt(number) {
      return this.blocks.get(Math.floor(number / BLOCK))?.[number % BLOCK] ?? "…";
    },
    // Called by the server: so many lines are there now.
    grow(size) {
      if (size < this.size) this.forget();
      if (size === this.size) return;
      this.told = size;
      if (this.follows) return this.fetchBlock(Math.floor((size - 1) / BLOCK)); // its answer says the size
      this.size = size;
      this.$nextTick(this.look);
    },
    forget() {
      this.era += 1;
      this.blocks.clear();
      this.awaited.clear();
      this.size = this.told = 0;
      this.found = null;
    },
    async fetchBlock(block) {
      if (this.awaited.has(block)) return;
      this.awaited.add(block);
      const { era, told } = this;
      let wait = 0;
      try {
        const response = await fetch(`${this.base}?first=${block * BLOCK}&count=${BLOCK}`);
        if (!response.ok) throw new Error(response.status);
        const answer = await response.json();
        if (era === this.era) this.keep(block, answer);
        if (era === this.era && told === this.told) this.told = 0;
      } catch {
        wait = 2000;
      }
      if (era === this.era) setTimeout(() => this.settle(block, era), wait);
    },
    settle(block, era) {
      if (era !== this.era) return;
      this.awaited.delete(block);
      // The answer may have been on its way when the log grew, and a run that has ended tells nothing more.
      if (this.follows && this.told > this.size) this.fetchBlock(Math.floor((this.told - 1) / BLOCK));
      this.$nextTick(this.toEnd);
    },
    keep(block, answer) {
      this.blocks.delete(block);
      this.blocks.set(block, answer.lines);
      if (this.blocks.size > KEPT) this.blocks.delete(this.blocks.keys().next().value);
      this.size = Math.max(this.size, answer.size);
      this.version += 1;
    },
    scrolled() {
      const { scrollTop, scrollHeight, clientHeight } = this.$refs.window;
      if (scrollTop < this.lastTop) this.follows = false; // the reader went back
      else if (scrollTop + clientHeight >= scrollHeight - LINE && scrollTop > this.lastTop) this.follows = true;
      this.lastTop = scrollTop;
      this.look();
    },
    look() {
      const { scrollTop, clientHeight } = this.$refs.window;
      if (!clientHeight) return; // on a tab that isn't shown
      this.first = Math.max(0, Math.floor(scrollTop / LINE) - 10);
      this.count = Math.ceil(clientHeight / LINE) + 20;
      const last = Math.min(this.size - 1, this.first + this.count);
      for (let block = Math.floor(this.first / BLOCK); block <= Math.floor(last / BLOCK); block++) {
        const lines = this.blocks.get(block);
        if (!lines || lines.length < Math.min(BLOCK, this.size - block * BLOCK)) this.fetchBlock(block);
      }
    },
    toEnd() {
      if (this.follows) {
        this.$refs.window.scrollTop = this.size * LINE;
        this.lastTop = this.$refs.window.scrollTop;
      }
      this.look();
    },
    async find(backwards) {
      if (!this.text) return;
      if (this.text !== this.sought) [this.sought, this.found] = [this.text, null];
      const from = this.found === null ? (backwards ? this.size - 1 : 0) : this.found + (backwards ? -1 : 1);
      const query = new URLSearchParams({ text: this.text, from: Math.max(0, from), backwards: backwards ? 1 : 0 });
      let answer = from < 0 ? { line: null } : await this.ask(query);
      if (answer && answer.line === null && this.found !== null) {
        query.set("from", backwards ? Math.max(0, this.size - 1) : 0); // round about
        answer = await this.ask(query);
      }
      if (!answer) return;
      this.found = answer.line;
      if (answer.line === null) return (this.status = this.texts.none);
      this.status = this.texts.found.replace("{line}", answer.line + 1).replace("{matches}", answer.matches);
      this.follows = false;
      const { window } = this.$refs;
      window.scrollTop = Math.max(0, answer.line * LINE - window.clientHeight / 2);
      this.lastTop = window.scrollTop;
      this.look();
    },
    async ask(query) {
      try {
        const response = await fetch(`${this.base}/find?${query}`);
        if (!response.ok) throw new Error(response.status);
        return await response.json();
      } catch {
        this.status = this.texts.unreachable;
        return null;
      }
    },
    classes(row) {
      return {
        "log-view-found": row.number === this.found,
        "log-view-note": /(^|\s)note: /.test(row.text),
        "log-view-error": /(^|\s)(error: |Traceback)/.test(row.text),
      };
    },
    parts(text) {
      const sought = this.sought.toLowerCase();
      if (!sought) return [{ text, hit: false }];
      const parts = [];
      let at = 0;
      for (let hit; (hit = text.toLowerCase().indexOf(sought, at)) >= 0; at = hit + sought.length) {
        parts.push({ text: text.slice(at, hit), hit: false }, { text: text.slice(hit, hit + sought.length), hit: true });
      }
      return [...parts, { text: text.slice(at), hit: false }];
    },
  },
};
