import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.flywaydb.core.Flyway;

/** Runs verbs of Flyway: words with an equals sign are settings, the others verbs, in their order. */
public class RunFlyway {
    public static void main(String[] words) {
        Map<String, String> settings = new HashMap<>();
        List<String> verbs = new ArrayList<>();
        for (String word : words) {
            int at = word.indexOf('=');
            if (at < 0) {
                verbs.add(word);
            } else {
                settings.put("flyway." + word.substring(0, at), word.substring(at + 1));
            }
        }
        Flyway flyway = Flyway.configure().configuration(settings).load();
        for (String verb : verbs) {
            switch (verb) {
                case "baseline" -> flyway.baseline();
                case "migrate" -> flyway.migrate();
                case "repair" -> flyway.repair();
                default -> throw new IllegalArgumentException(verb);
            }
        }
    }
}
