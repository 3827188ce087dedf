// A file from the reader's disk to the server: dropped, or chosen; with how far it has got.
export default {
  template: `
    <div :class="['at-file', { 'at-file-over': isOver }]"
      @dragover.prevent="isOver = true" @dragleave="isOver = false" @drop.prevent="drop">
      <input :id="name" type="file" class="at-file-input" :aria-describedby="name + '-said'"
        :disabled="isBusy" @change="chosen" @keydown.enter.prevent="$event.target.click()" />
      <label class="at-file-label" :for="name">
        <span class="at-file-title">{{ texts.title }}</span>
        <span class="at-muted at-small">{{ texts.hint }}</span>
        <span class="at-file-button">{{ texts.choose }}</span>
      </label>
      <div :id="name + '-said'" class="at-file-said">
        <progress v-if="isBusy" :value="share" max="1" :aria-label="texts.sending"></progress>
        <span v-if="isBusy" role="status">{{ said }}</span>
        <button v-if="isBusy" type="button" class="at-button at-quiet" @click="stop">{{ texts.stop }}</button>
        <span v-if="!isBusy && problem" role="alert" class="at-bad">{{ problem }}</span>
      </div>
    </div>`,
  props: { address: String, name: String, texts: Object, limit: Number },
  data: () => ({ isOver: false, isBusy: false, share: 0, said: "", problem: "", request: null }),
  unmounted() {
    this.request?.abort();
  },
  methods: {
    drop(event) {
      this.isOver = false;
      if (this.isBusy) return;
      const files = event.dataTransfer.files;
      if (files.length > 1) this.problem = this.texts.one;
      else if (files.length) this.send(files[0]);
    },
    chosen(event) {
      const [file] = event.target.files;
      event.target.value = ""; // the same file can be chosen again, mended
      if (file) this.send(file);
    },
    stop() {
      this.request?.abort();
    },
    send(file) {
      this.problem = "";
      if (file.size > this.limit) {
        this.problem = this.texts.large;
        return;
      }
      const request = new XMLHttpRequest();
      this.request = request;
      this.isBusy = true;
      this.share = 0;
      this.said = this.texts.sending;
      const done = (problem) => {
        this.isBusy = false;
        this.problem = problem;
      };
      request.upload.onprogress = (event) => {
        this.share = event.total ? event.loaded / event.total : 0;
        this.said = this.share < 1 ? `${this.texts.sending} ${Math.round(100 * this.share)} %` : this.texts.reading;
      };
      request.onload = () => {
        let told = {};
        try {
          told = JSON.parse(request.responseText);
        } catch {}
        if (request.status === 201) {
          done("");
          this.$emit("taken", told.id);
        } else if (request.status === 413) done(this.texts.large);
        else done(typeof told.detail === "string" ? told.detail : this.texts.failed);
      };
      request.onerror = () => done(this.texts.failed);
      request.onabort = () => done("");
      request.open("POST", `${this.address}?name=${encodeURIComponent(file.name)}`);
      request.setRequestHeader("Content-Type", "application/octet-stream");
      request.send(file);
    },
  },
};
