// Shows a GLB under a latitude-longitude light. Drawn only when something changed: nothing moves by
// itself. The world is glTF's (y up); angles are those of a z-up frame, azimuth 0 along +x.
(() => {
  "use strict";
  const THREE = globalThis.THREE;
  const FOV_DEG = 35,  // of the shorter side
     STEP = Math.PI / 36, ZOOM = 1.15, MOST_ELEVATION = 1.55;
  const KEYS = {
    ArrowLeft: (v) => { v.azimuth -= STEP; }, ArrowRight: (v) => { v.azimuth += STEP; },
    ArrowUp: (v) => { v.elevation += STEP; }, ArrowDown: (v) => { v.elevation -= STEP; },
    "+": (v) => { v.distance /= ZOOM; }, "=": (v) => { v.distance /= ZOOM; },
    "-": (v) => { v.distance *= ZOOM; },
  };

  function bytesOf(base64) {
    return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  }

  function lightOf(told) {
    const halves = new Uint16Array(bytesOf(told.halves).buffer);
    const texture = new THREE.DataTexture(
      halves, told.width, told.height, THREE.RGBAFormat, THREE.HalfFloatType);
    texture.mapping = THREE.EquirectangularReflectionMapping;
    texture.magFilter = texture.minFilter = THREE.LinearFilter;
    texture.wrapS = THREE.RepeatWrapping;
    texture.needsUpdate = true;
    return texture;
  }

  // Images as <img>, since the page's policy forbids fetching even from itself.
  const plainImages = (parser) => {
    parser.textureLoader = new THREE.TextureLoader(parser.options.manager);
    return { name: "plain_images" };
  };

  function loaded(told) {
    const loader = new THREE.GLTFLoader();
    loader.register(plainImages);
    return new Promise((done, failed) => loader.parse(bytesOf(told.glb).buffer, "", done, failed));
  }

  function orbit(canvas, first, changed) {
    const view = { ...first };
    const pointers = new Map();
    const settle = () => {
      view.elevation = Math.max(-MOST_ELEVATION, Math.min(MOST_ELEVATION, view.elevation));
      view.distance = Math.max(1.05, Math.min(20, view.distance));
      changed();
    };
    const spread = () => {
      const [a, b] = [...pointers.values()];
      return Math.hypot(a.x - b.x, a.y - b.y);
    };
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    });
    for (const name of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(name, (event) => pointers.delete(event.pointerId));
    }
    canvas.addEventListener("pointermove", (event) => {
      const before = pointers.get(event.pointerId);
      if (!before) return;
      const wide = pointers.size === 2 ? spread() : 0;
      pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
      if (wide) {
        view.distance *= wide / Math.max(spread(), 1);
      } else if (pointers.size === 1) {
        const turn = Math.PI / canvas.clientHeight;
        view.azimuth -= (event.clientX - before.x) * turn;
        view.elevation += (event.clientY - before.y) * turn;
      }
      settle();
    });
    canvas.addEventListener("wheel", (event) => {
      if (document.activeElement !== canvas) return;  // else a page could not be scrolled past it
      event.preventDefault();
      view.distance *= Math.exp(Math.max(-0.3, Math.min(0.3, 0.001 * event.deltaY)));
      settle();
    }, { passive: false });
    canvas.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key === "0" || event.key === "Home") Object.assign(view, first);
      else if (KEYS[event.key]) KEYS[event.key](view);
      else return;
      event.preventDefault();
      settle();
    });
    return view;
  }

  function place(camera, view, sphere) {
    const { azimuth, elevation, distance } = view;
    const flat = Math.cos(elevation);
    const away = new THREE.Vector3(
      flat * Math.cos(azimuth), Math.sin(elevation), -flat * Math.sin(azimuth));
    camera.position.copy(sphere.center).addScaledVector(away, distance * sphere.radius);
    camera.near = sphere.radius * 0.01;
    camera.far = sphere.radius * (distance + 2);
    camera.lookAt(sphere.center);
    camera.updateProjectionMatrix();
  }

  async function start(root) {
    const canvas = root.querySelector("canvas"), said = root.querySelector(".said");
    const told = JSON.parse(root.querySelector("script[type='application/json']").textContent);
    let renderer;
    try {
      renderer = new THREE.WebGLRenderer({ canvas, antialias: true, alpha: true });
    } catch {
      throw new Error("This browser shows no WebGL: open object.glb in another viewer.");
    }
    renderer.outputEncoding = THREE.sRGBEncoding;
    const scene = new THREE.Scene();
    const light = lightOf(told.light);
    scene.environment = light;
    const object = (await loaded(told)).scene;
    scene.add(object);
    const box = new THREE.Box3().setFromObject(object, true);
    const sphere = { center: box.getCenter(new THREE.Vector3()),
      radius: box.getSize(new THREE.Vector3()).length() / 2 || 1 };
    const camera = new THREE.PerspectiveCamera(FOV_DEG, 1);
    let asked = false;
    const draw = () => { asked = false; place(camera, view, sphere); renderer.render(scene, camera); };
    const changed = () => { if (!asked) { asked = true; requestAnimationFrame(draw); } };
    const view = orbit(canvas, told.view, changed);
    const fit = () => {
      const { clientWidth: width, clientHeight: height } = canvas.parentElement;
      if (!width || !height) return;
      renderer.setPixelRatio(Math.min(globalThis.devicePixelRatio || 1, 2));
      renderer.setSize(width, height, false);
      camera.aspect = width / height;
      const half = Math.tan(FOV_DEG * Math.PI / 360) / Math.min(camera.aspect, 1);
      camera.fov = Math.atan(half) * 360 / Math.PI;
      draw();
    };
    root.querySelector("input").addEventListener("change", (event) => {
      scene.background = event.target.checked ? light : null;
      changed();
    });
    new ResizeObserver(fit).observe(canvas.parentElement);
    canvas.addEventListener("webglcontextrestored", changed);
    fit();
    said.hidden = true;
    root.dataset.state = "ready";
  }

  for (const root of document.querySelectorAll(".gimbal-viewer")) {
    start(root).catch((error) => {
      root.querySelector(".said").textContent = error.message;
      root.dataset.state = "failed";
    });
  }
})();
