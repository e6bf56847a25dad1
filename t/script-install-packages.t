#!/usr/bin/perl

# script/install-packages, with an apt-get, a dpkg-query and an id that only
# play theirs, and a root directory of its own: no real package is touched.

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Temp qw(tempdir);
use Test::More;
use Time::HiRes qw(sleep);

my $script = dirname(dirname(abs_path(__FILE__))) . '/script/install-packages';
my ($root, $policy, $status, $output);
my $mine = "#!/bin/sh\n# An operator's own.\nexit 104\n";


fresh(installed => [packages()]);
run('build', 'run');
is($status, 0, 'nothing missing: succeeds');
is($output, '', 'and says nothing');
is(journal(), '', 'and calls apt-get for nothing');

fresh();
run('run');
is($status, 0, 'no policy before: succeeds');
like($output, qr/installing: .*\bcurl\b/, 'names what it installs');
like(journal(), qr/\A-qq update\n.* --download-only .*\n.* install [^\n]*\bcurl\b[^\n]*\n\z/,
    'updates, downloads, installs');
like(journal(), qr/--no-install-recommends.*--no-install-recommends/s, 'recommends nothing');
is(slurp("$root/asked"), "exit 101\n", 'services are forbidden while it installs');
is(slurp("$root/frontend"), "noninteractive\n", 'no package asks questions');
ok(!-e $policy, 'and there is no policy afterwards');
is_deeply(left(), [], 'nor anything else');

run('run');
is($output, '', 'a second run has nothing to do');

fresh(policy => $mine, mode => 0750);
run('run');
is($status, 0, 'a policy before: succeeds');
is(slurp("$root/asked"), "exit 101\n", 'it is replaced while it installs');
is(slurp($policy), $mine, 'and has the same content afterwards');
is((stat $policy)[2] & 07777, 0750, 'and the same mode');
is_deeply(left(), ['policy-rc.d'], 'and nothing is beside it');

fresh();
symlink '/nowhere/at/all', $policy;
run('run');
is($status, 0, 'a dangling symlink before: succeeds');
is(readlink($policy), '/nowhere/at/all', 'and is the same afterwards');

for my $step ('update', '--download-only', 'install') {
    fresh(policy => $mine, fail => $step);
    run('run');
    isnt($status, 0, "apt-get fails at $step: so does the script");
    like($output, qr/E: cannot/, 'shows what apt-get said');
    is(slurp($policy), $mine, 'and the policy is the same');
}
like($output, qr/cannot be had: curl\n/, 'names a package that cannot be had');
unlike($output, qr/cannot be had: openssl\n/, 'and none that can');

fresh(lie => 1);
run('run');
isnt($status, 0, 'apt-get installs nothing, but says so not: fails');
like($output, qr/still missing: .*curl/, 'with a message');

fresh(user => 1000);
run('run');
isnt($status, 0, 'without root: fails');
like($output, qr/only root can install: .*\bcurl\b/, 'naming the packages');
is(journal(), '', 'and calls apt-get for nothing');

fresh();
run('nonsense');
is($status, 2, 'an unknown group is refused');
like($output, qr/no group "nonsense"/, 'with a message');

for my $signal (qw(TERM INT HUP)) {
    fresh(policy => $mine, sleep => 'install');
    my $pid = start('run');
    wait_for("$root/asleep");
    is(slurp("$root/asked"), "exit 101\n", "$signal while it installs");
    kill $signal => $pid;
    finish($pid);
    isnt($status, 0, 'is a failure');
    is(slurp($policy), $mine, 'and the policy is the same');
    ok(-e "$root/awake", 'restored only once apt-get had ended');
}

fresh(policy => $mine, sleep => '--download-only', seconds => 60);
my $before = time;
my $pid    = start('run');
wait_for("$root/asleep");
kill TERM => $pid;
finish($pid);
isnt($status, 0, 'TERM while it downloads is a failure');
cmp_ok(time - $before, '<', 30, 'and ends at once');
is(slurp($policy), $mine, 'the policy was not touched');

# KILL: nothing can be done then, so the next run does.
fresh(policy => $mine, sleep => 'install');
$pid = start('run');
wait_for("$root/asleep");
kill KILL => $pid;
finish($pid);
isnt(slurp($policy), $mine, 'KILL leaves our policy');
run('run');
ok(-e "$root/awake", 'the next run waits for the apt-get that still goes on');
is(slurp($policy), $mine, 'and undoes it');
is($output, '', 'with nothing left to install');

fresh(sleep => 'install');
my @two = (start('run'), start('run'));
for my $each (@two) {
    finish($each);
    is($status, 0, 'of two runs at once: succeeds');
}
is(scalar(() = journal() =~ / update$/mg), 1, 'only one of them installs');
ok(!-e $policy, 'and no policy is left');
is_deeply(left(), [], 'nor anything else');

done_testing();


# --- The world of a run ---

sub packages {
    my ($text) = slurp($script) =~ /groups=\((.*?)\n\)/s;
    return map { split } $text =~ /"([^"]*)"/g;
}

# policy, mode: the policy-rc.d there is.  installed: packages there are.

sub fresh {
    my (%option) = @_;

    $root   = tempdir(CLEANUP => 1);
    $policy = "$root/usr/sbin/policy-rc.d";
    mkdir "$root/$_" or die "$root/$_: $!" for qw(usr usr/sbin bin tmp);
    spurt($policy, $option{policy}, $option{mode}) if $option{policy};
    spurt("$root/installed", join '', map { "$_\n" } @{$option{installed} // []});
    spurt("$root/journal", '');
    fake(%option);
}

# fail, sleep: the step of apt-get's that does.  lie: it installs nothing.

sub fake {
    my (%option) = @_;
    my ($fail, $sleep) = map { $option{$_} // 'nothing' } qw(fail sleep);
    my $seconds = $option{seconds} // 1;
    my $record  = $option{lie} ? ':' : "printf '%s\\n' \$* >> '$root/installed'";

    spurt("$root/bin/id", "#!/bin/sh\necho " . ($option{user} // 0) . "\n", 0755);

    spurt("$root/bin/dpkg-query", <<"END", 0755);
#!/bin/sh
for word; do
    grep -qx -- "\$word" '$root/installed' && echo "installed \$word"
done
[ -s '$root/installed' ]
END

    spurt("$root/bin/apt-get", <<"END", 0755);
#!/bin/sh
case " \$* " in
    *" -s "*)               # a simulation: can it be had?
        case " \$* " in *" curl "*) exit 100 ;; esac
        exit 0 ;;
    *" update "*)           step=update ;;
    *" --download-only "*)  step=--download-only ;;
    *" install "*)          step=install ;;
esac
echo "\$*" >> '$root/journal'
if [ \$step = install ]; then
    tail -n 1 '$policy' > '$root/asked'
    echo "\$DEBIAN_FRONTEND" > '$root/frontend'
fi
if [ \$step = $fail ]; then
    echo "E: cannot"
    exit 100
fi
if [ \$step = $sleep ]; then
    touch '$root/asleep'
    ${\($seconds > 5 ? 'exec ' : '')}sleep $seconds
    touch '$root/awake'
fi
if [ \$step = install ]; then
    $record
fi
END
}

sub run { finish(start(@_)) }

sub start {
    my (@groups) = @_;
    my $pid = fork // die "fork: $!";
    return $pid if $pid;

    # A session of its own, as signals to our group are not for it.
    POSIX::setsid() if require POSIX;
    # One ignored by us, as under nohup, would be by it, which can't trap it then.
    $SIG{$_} = 'DEFAULT' for qw(TERM INT HUP);
    $ENV{PATH} = "$root/bin:$ENV{PATH}";
    $ENV{TMPDIR} = "$root/tmp";
    $ENV{INSTALL_PACKAGES_ROOT} = $root;
    open STDOUT, '>', "$root/output" or die;
    open STDERR, '>&', \*STDOUT or die;
    open STDIN, '<', '/dev/null' or die;
    exec $script, @groups or POSIX::_exit(127);
}

sub finish {
    my ($pid) = @_;
    waitpid $pid, 0;
    $status = $? & 127 ? 128 + ($? & 127) : $? >> 8;
    $output = slurp("$root/output");
}

sub journal { slurp("$root/journal") }

sub left {
    opendir my $sbin, "$root/usr/sbin" or die;
    opendir my $tmp, "$root/tmp" or die;
    return [sort grep { !/^\.\.?$/ } readdir $sbin, readdir $tmp];
}

sub wait_for {
    my ($file) = @_;
    for (1 .. 12000) {
        return if -e $file;
        sleep 0.01;
    }
    BAIL_OUT("$file did not appear");
}

sub slurp {
    my ($file) = @_;
    open my $in, '<', $file or return '';
    local $/;
    return scalar(<$in>) // '';
}

sub spurt {
    my ($file, $text, $mode) = @_;
    open my $out, '>', $file or die "$file: $!";
    print $out $text;
    close $out;
    chmod $mode, $file if defined $mode;
}
